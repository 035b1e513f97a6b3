"""The process: starts when it can, says what is wrong, waits for a database that is not there, and ends cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_socket

from pipelines.core import embedded_postgres
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.settings import PROJECT_ROOT, load_settings


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.sidecar", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PSP_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        ended = run(home=tmp_path, PSP_SIDECAR_PORT=port)

    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: The sidecar cannot listen on 127.0.0.1:{port} (Address already in use)."
        " Fix: stop what uses the port, or set PSP_SIDECAR_PORT to a free one\n"
    )


def test_sigterm_ends_it_cleanly_and_closes_its_sockets(marts: str, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar(marts) as own:
        headers = {"Authorization": f"Bearer {own.keys['all']}"}
        url = f"{own.url.replace('http', 'ws')}/ws/updates"
        with open_socket(url, additional_headers=headers, proxy=None) as connection:
            assert json.loads(connection.recv(timeout=5))["type"] == "connected"
            began = time.monotonic()
            own.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=5)
        assert own.process.wait(timeout=10) == 0
        assert time.monotonic() - began < 5
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_sigterm_ends_it_in_the_middle_of_an_export(marts: str, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar(marts) as own, socket.create_connection(("127.0.0.1", own.settings.psp_sidecar_port)) as idle:
        idle.sendall(b"GET /api/v1/export/transactions HTTP/1.1\r\n")
        own.process.send_signal(signal.SIGTERM)

        assert own.process.wait(timeout=15) == 0


def test_before_the_first_data_it_says_so(warehouse: str, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar(warehouse) as own, own.client() as client:
        for path in (
            "/transactions",
            "/metrics/overview",
            "/reconciliation/summary",
            "/sync/status",
            "/export/metrics",
        ):
            response = client.get(path)
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert "marts are not there yet" in response.json()["error"]["message"]
            assert int(response.headers["Retry-After"]) > 0
        health = client.get("/health").json()

    assert health["data"]["services"]["database"] == {"status": "no_marts"}
    assert health["meta"] == {"as_of": None, "stale": True}


def test_without_a_database_it_answers_and_recovers_by_itself(
    tmp_path: Path, start_sidecar: Callable[..., Any]
) -> None:
    server = load_settings({"PSP_HOME": str(tmp_path)})
    url = embedded_postgres.start(server)
    prepare_warehouse(url)
    try:
        with start_sidecar("", PSP_HOME=str(tmp_path)) as own, own.client() as client:
            assert client.get("/health").json()["data"]["services"]["database"]["status"] == "no_marts"
            embedded_postgres.stop(server)

            down = client.get("/transactions")
            health = client.get("/health")
            assert down.status_code == health.status_code == 503
            assert "cannot be reached" in down.json()["error"]["message"]
            assert url.split(":")[2].split("@")[0] not in down.text + health.text
            assert health.json()["error"]["details"]["status"] == "down"

            embedded_postgres.start(server)
            deadline = time.monotonic() + 15
            while client.get("/health").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        embedded_postgres.stop(server)


def test_it_starts_before_the_database_does(tmp_path: Path, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar("", PSP_HOME=str(tmp_path)) as own, own.client() as client:
        assert client.get("/health").status_code == 503
        assert client.get("/transactions").status_code == 503


def test_keys_are_made_listed_and_revoked_at_the_command_line(tmp_path: Path) -> None:
    made = run("keys", "add", "reports", "--scopes", "read,export", "--days", "7", home=tmp_path)
    again = run("keys", "add", "reports", home=tmp_path)
    wrong = run("keys", "add", "x", "--scopes", "root", home=tmp_path)
    listed = run("keys", "list", home=tmp_path)
    revoked = run("keys", "revoke", "reports", home=tmp_path)
    gone = run("keys", "revoke", "reports", home=tmp_path)

    assert made.returncode == 0
    assert made.stdout.startswith("psp_")
    assert again.returncode == wrong.returncode == gone.returncode == 1
    assert "already an API key named reports" in again.stderr
    assert "scopes are read, export, operate, pii" in wrong.stderr
    assert listed.stdout.startswith("reports\tread,export\texpires ")
    assert revoked.returncode == 0


def test_a_broken_key_file_lets_nobody_in_and_says_nothing_secret(
    marts: str, start_sidecar: Callable[..., Any]
) -> None:
    with start_sidecar(marts) as own, own.client() as client:
        (own.settings.psp_home / "api_keys.json").write_text("{")

        response = client.get("/transactions")

    assert response.status_code == 503
    assert "api_keys.json" in response.json()["error"]["message"]


@contextmanager
def dagster_webserver(home: Path, port: int) -> Iterator[None]:
    """A real, empty Dagster webserver."""
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("dagster-webserver")),
            "--empty-workspace",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        ],
        env={**os.environ, "DAGSTER_HOME": str(home), "DO_NOT_TRACK": "1"},
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/server_info", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.3)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_dagster_is_seen_up_and_its_missing_daemon_too(
    marts: str, start_sidecar: Callable[..., Any], tmp_path: Path
) -> None:
    with start_sidecar(marts) as own:
        health = httpx.get(f"{own.url}/api/v1/health").json()["data"]
        assert (health["status"], health["services"]["dagster"]["status"]) == ("degraded", "down")

        with dagster_webserver(tmp_path, own.settings.psp_dagster_port):
            time.sleep(1.2)
            health = httpx.get(f"{own.url}/api/v1/health").json()["data"]

    # The webserver answers; no daemon runs beside it.
    assert health["services"]["dagster"]["status"] == "degraded"
    assert "SENSOR" in health["services"]["dagster"]["unhealthy_daemons"]
    assert health["services"]["dagster"]["version"]
