"""`psp service` where it cannot do its work; tests/e2e/test_chain.py lets all of them do it."""

from pathlib import Path

from tests.integration.cli.conftest import run_psp


def test_service_without_a_database_server_is_refused(home: Path) -> None:
    answer = run_psp("service", "daemon", environment={"PSP_HOME": str(home)})
    answer.assert_one_error("needs a database server", "PSP_DATABASE_URL")
