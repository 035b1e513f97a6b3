"""PSP_DATABASE_URL against Debian's PostgreSQL 15, the oldest that is supported: the same SQL, the same result."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.postgres import connect
from tests.conftest import take_parsed_models
from tests.integration.cli.conftest import addresses_of, run_psp
from tests.sandbox import Providers, free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "nobody"

pytestmark = pytest.mark.skipif(not BINARIES.exists(), reason="Debian's PostgreSQL 15 is not installed here")


@pytest.fixture
def postgres_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own in a temporary folder, run by a user who is not root; its owner is no superuser."""
    folder = tmp_path_factory.mktemp("pg15")
    port = free_port()
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    if as_user:
        os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
        for parent in folder.parents:
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, str(BINARIES / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "admin", "--encoding=UTF8", "--auth=trust")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        with connect(f"postgresql://admin@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute("create role psp_owner login createrole password 'invented'")
            connection.execute("create database psp owner psp_owner")
        yield f"postgresql://psp_owner:invented@127.0.0.1:{port}/psp"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_the_chain_runs_on_the_oldest_supported_server(
    postgres_15: str, providers: Providers, parsed_models: Path, home: Path
) -> None:
    take_parsed_models(parsed_models, home)
    environment = addresses_of(providers) | {"PSP_HOME": str(home), "PSP_DATABASE_URL": postgres_15}
    doctor = run_psp("doctor", environment=environment)
    assert "PostgreSQL 15 (PSP_DATABASE_URL), empty" in doctor.out, doctor.out
    answer = run_psp("sync", "all", environment=environment)
    assert answer.code == 0, answer.err
    with connect(postgres_15) as connection:
        version = connection.info.server_version // 10000
        row = connection.execute(
            "select (select count(*) from marts.fct_transactions), (select count(*) from marts.fct_reconciliation)"
        ).fetchone()
    assert version == 15
    assert row is not None
    assert row[0] > 1000
    assert row[1] > 1000
    assert not (home / "postgres").exists()
