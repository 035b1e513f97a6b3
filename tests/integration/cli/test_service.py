"""`psp service` where it cannot do its work; tests/e2e/test_chain.py lets all of them do it.

And the sandbox servers of docker-compose.yml, by its own commands.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from pipelines.core.settings import load_settings
from pipelines.sandbox.state import ensure_state
from tests.deployment import wait_for_check
from tests.integration.cli.conftest import ROOT, clean_environment, run_psp
from tests.sandbox import free_port


def test_service_without_a_database_server_is_refused(home: Path) -> None:
    answer = run_psp("service", "daemon", environment={"PSP_HOME": str(home)})
    answer.assert_one_error("needs a database server", "PSP_DATABASE_URL")


def test_the_sandbox_of_the_compose_file_becomes_healthy(home: Path) -> None:
    vima, payshack = str(free_port()), str(free_port())
    environment = {
        "PSP_HOME": str(home),
        "PSP_SANDBOX_ORDERS": "20",
        "PSP_SANDBOX_VIMA_PORT": vima,
        "PSP_SANDBOX_PAYSHACK_PORT": payshack,
    }
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    known, running = [], []
    try:
        # One after the other, as the file says: the first invents the credentials of both.
        for name in ("sandbox-vima", "sandbox-payshack"):
            program, *arguments = services[name]["entrypoint"] + services[name]["command"]
            assert program == "python"
            running.append(subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=clean_environment(environment)))
            wait_for_check(name, {"8701": vima, "8702": payshack}, environment)
            known.append(ensure_state(load_settings(environment)))
    finally:
        for process in running:
            process.terminate()
        codes = [process.wait(timeout=30) for process in running]
    assert codes == [0, 0]
    assert known[0] == known[1]
