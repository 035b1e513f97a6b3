"""A deployment: `psp prepare` once, then one `psp service` per process, as docker-compose.yml runs them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from pipelines.core.postgres import connect
from tests.conftest import copy_database, drop_database
from tests.integration.cli.conftest import ROOT, clean_environment, run_psp, start_psp, wait_for
from tests.sandbox import free_port


@contextmanager
def service(name: str, *arguments: str, environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """It runs in the block, and ends in order when it is told to."""
    process = start_psp("service", name, *arguments, environment=environment, log=log)
    try:
        yield process
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        # A run that has begun is let finish.
        assert process.wait(timeout=120) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def deployment(home: Path, outside: dict[str, str], server_url: str) -> Iterator[dict[str, str]]:
    """Settings over an empty database of a server that somebody else runs."""
    url = copy_database(server_url, None)
    ports = {name: str(free_port()) for name in ("PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT")}
    # As in the image: Dagster's own commands find the storage by themselves.
    yield outside | ports | {"PSP_DATABASE_URL": url, "DAGSTER_HOME": str(home / "dagster")}
    drop_database(url)


def test_prepare_then_the_services(deployment: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):  # safe to repeat
        prepared = run_psp("prepare", environment=deployment)
        assert prepared.code == 0, prepared.err
    with connect(deployment["PSP_DATABASE_URL"]) as connection:
        found = connection.execute("select to_regclass('raw.vima_operations'), to_regclass('dagster.runs')").fetchone()
    assert found is not None
    assert None not in found

    port = free_port()
    where = ("--code-server", f"127.0.0.1:{port}")
    web = f"http://127.0.0.1:{deployment['PSP_DAGSTER_PORT']}/server_info"
    api = f"http://127.0.0.1:{deployment['PSP_SIDECAR_PORT']}/api/v1/health"
    with ExitStack() as stack:
        for name in ("code-server", "webserver", "daemon"):
            log = tmp_path / f"{name}.log"
            stack.enter_context(service(name, *where, environment=deployment, log=log))
            if name == "code-server":
                wait_for_check(name, {"4000": str(port)}, deployment)
        stack.enter_context(service("sidecar", environment=deployment, log=tmp_path / "sidecar.log"))
        wait_for(lambda: answers(web) and answers(api), "an answer of both servers", seconds=90)
        for name, old, new in (
            ("webserver", "3000", deployment["PSP_DAGSTER_PORT"]),
            ("sidecar", "8000", deployment["PSP_SIDECAR_PORT"]),
        ):
            assert passes(compose_check(name, {old: new}), deployment), name
        wait_for_check("daemon", {}, deployment)


def test_service_without_a_database_server_is_refused(home: Path) -> None:
    answer = run_psp("service", "daemon", environment={"PSP_HOME": str(home)})
    answer.assert_one_error("needs a database server", "PSP_DATABASE_URL")


def compose_check(name: str, changes: dict[str, str]) -> list[str]:
    """The health check of docker-compose.yml, with other ports."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    command: list[str] = compose["services"][name]["healthcheck"]["test"][1:]
    for old, new in changes.items():
        command = [part.replace(old, new) for part in command]
    return command


def wait_for_check(name: str, changes: dict[str, str], environment: dict[str, str]) -> None:
    check = compose_check(name, changes)
    wait_for(lambda: passes(check, environment), f"the health of {name}", seconds=90)


def passes(command: list[str], environment: dict[str, str]) -> bool:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, env=clean_environment(environment) | {"PATH": path}, cwd=ROOT, capture_output=True, check=False
    )
    return done.returncode == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code in (200, 503)
    except httpx.TransportError:
        return False
