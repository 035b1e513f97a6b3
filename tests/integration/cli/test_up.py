"""`psp up` for real: from nothing to reconciled marts on a moving world; watched, killed, stopped, nothing left."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect as open_socket

from pipelines.core.postgres import connect
from pipelines.core.runtime import read_json
from tests.integration.cli.conftest import (
    assert_nothing_left,
    processes_of,
    run_psp,
    shown_key,
    start_psp,
    wait_for,
)
from tests.sandbox import PLATFORM_PORTS, free_ports

READY = "Ready. Ctrl-C stops everything."
START_SECONDS = 240
NEWS_SECONDS = 120


class Platform:
    """One `psp up` after the other over one PSP_HOME."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.log = folder / "up.log"
        self.environment = {"PSP_HOME": str(self.home), "PSP_SANDBOX_ORDERS": "300", "VIMA_POLL_SECONDS": "10"}
        self.environment |= free_ports(PLATFORM_PORTS)
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> "subprocess.Popen[bytes]":
        """Start it and wait until it says that it is ready."""
        self.process = process = start_psp("up", "--no-browser", environment=self.environment, log=self.log)
        wait_for(lambda: READY in self.said() or process.poll() is not None, READY, seconds=START_SECONDS)
        assert process.poll() is None, self.said()
        return process

    def said(self) -> str:
        return self.log.read_text()

    def psp(self, *arguments: str) -> Any:
        return run_psp(*arguments, environment=self.environment)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.psp("status", "--json").out)
        return found

    @property
    def key(self) -> str:
        """The API key that was shown at the start."""
        return shown_key(self.said())

    @property
    def database(self) -> str:
        found = read_json(self.home / "postgres.json")
        assert found is not None
        return str(found["url"])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running platform; the tests of this module take turns with it, in the order that they are written."""
    found = Platform(tmp_path_factory.mktemp("up"))
    try:
        yield found
    finally:
        found.psp("down")
        assert_nothing_left(found.home)


def test_first_start_says_where_everything_is(platform: Platform) -> None:
    platform.up()
    said = platform.said()
    for name in PLATFORM_PORTS:
        if name != "PSP_SANDBOX_VIMA_PORT":
            assert f"http://127.0.0.1:{platform.environment[name]}" in said
    state = read_json(platform.home / "sandbox.json")
    assert state is not None
    assert f"{state['payshack']['email']} / {state['payshack']['password']}" in said
    assert platform.key


def test_marts_hold_data_and_the_first_load_is_a_run_in_dagster(platform: Platform) -> None:
    with connect(platform.database) as connection:
        counts = connection.execute(
            "select (select count(*) from marts.fct_transactions), (select count(*) from marts.fct_reconciliation),"
            " (select count(distinct source) from marts.fct_transactions)"
        ).fetchone()
    assert counts is not None
    assert counts[0] > 200
    assert counts[1] > 150
    assert counts[2] == 2
    query = '{runsOrError(filter: {pipelineName: "first_load_job"}) {... on Runs {results {status tags {key value}}}}}'
    url = f"http://127.0.0.1:{platform.environment['PSP_DAGSTER_PORT']}/graphql"
    runs = httpx.post(url, json={"query": query}, trust_env=False, timeout=30).json()["data"]["runsOrError"]["results"]
    assert [run["status"] for run in runs] == ["SUCCESS"]


def test_sidecar_answers_the_key_that_was_shown(platform: Platform) -> None:
    url = f"http://127.0.0.1:{platform.environment['PSP_SIDECAR_PORT']}/api/v1/transactions"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {platform.key}"}, trust_env=False, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["meta"]["total"] > 200


def test_status_tells_processes_and_freshness(platform: Platform) -> None:
    found = platform.status()
    assert found["phase"] == "ready"
    names = {child["name"] for child in found["processes"]}
    assert names == {"sandbox-vima", "sandbox-payshack", "sidecar", "code-server", "webserver", "daemon"}
    assert {source["source"] for source in found["sources"]} == {"vima", "payshack"}
    for source in found["sources"]:
        assert source["watermark"] is not None
        assert source["lag_seconds"] < 300


def test_a_new_payment_reaches_mart_and_websocket_without_a_hand(platform: Platform) -> None:
    began, deadline = datetime.now(UTC), time.monotonic() + NEWS_SECONDS
    socket = f"ws://127.0.0.1:{platform.environment['PSP_SIDECAR_PORT']}/ws/updates"
    headers = {"Authorization": f"Bearer {platform.key}"}
    with (
        connect(platform.database, autocommit=True) as database,
        open_socket(socket, additional_headers=headers, proxy=None) as feed,
    ):
        feed.send(json.dumps({"type": "subscribe", "events": ["freshness"]}))
        arrived = None
        while not arrived and time.monotonic() < deadline:
            message = json.loads(feed.recv(timeout=NEWS_SECONDS))
            if message["type"] == "freshness" and message["data"]["source"] == "vima":
                arrived = database.execute(
                    "select source_txn_id from marts.fct_transactions where source = 'vima' and created_at > %s",
                    (began,),
                ).fetchone()
        assert arrived, "a ping after which the mart holds a payment younger than the subscription"


def test_second_up_names_the_first(platform: Platform) -> None:
    assert platform.process is not None
    platform.psp("up").assert_one_error("already running", str(platform.process.pid), "psp down")
    assert platform.process.poll() is None


def test_other_commands_use_what_runs(platform: Platform, tmp_path: Path) -> None:
    for command in (("reconcile", "--json"), ("export", "transactions", "--out", str(tmp_path / "t.csv"))):
        answer = platform.psp(*command)
        assert answer.code == 0, answer.err
    assert (tmp_path / "t.csv").read_text().startswith("transaction_id,")
    # A feed may be on its way; then, and only then, this pass may not begin.
    answer = platform.psp("sync", "vima")
    assert answer.code == 0 or "already being loaded" in answer.err, answer.err
    assert platform.status()["phase"] == "ready"


def test_dead_process_is_started_again(platform: Platform) -> None:
    before = _pid(platform, "sidecar")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: _pid(platform, "sidecar") != before, "a new sidecar", seconds=60)
    url = f"http://127.0.0.1:{platform.environment['PSP_SIDECAR_PORT']}/api/v1/health"
    wait_for(lambda: _answers(url), "the new sidecar's answer", seconds=60)
    assert "the sidecar ended with code -9; starting it again" in platform.said()


def test_killed_up_leaves_no_child_and_the_next_one_works(platform: Platform) -> None:
    process = platform.process
    assert process is not None
    children = [psutil.Process(child["pid"]) for child in platform.status()["processes"]]
    process.kill()
    process.wait()
    # Its children end with it, without anybody's help; PostgreSQL stays and is taken over.
    _, alive = psutil.wait_procs(children, timeout=60)
    assert [child.cmdline() for child in alive] == []
    assert platform.status()["phase"] == "stopped"
    with connect(platform.database) as connection:
        rows = connection.execute("select count(*) from raw.vima_operations").fetchone()
    platform.up()
    with connect(platform.database) as connection:
        again = connection.execute("select count(*) from raw.vima_operations").fetchone()
    assert rows is not None
    assert again is not None
    assert again[0] >= rows[0] > 0


def test_ctrl_c_stops_everything(platform: Platform) -> None:
    process = platform.process
    assert process is not None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=90) == 0, platform.said()
    assert time.monotonic() - began < 60
    assert processes_of(platform.home) == []
    assert "nothing is left running" in platform.said()
    assert not (platform.home / "run" / "owner.json").exists()


def test_ctrl_c_during_the_start_stops_everything(platform: Platform) -> None:
    process = start_psp("up", "--no-browser", environment=platform.environment, log=platform.log)
    wait_for(lambda: "Invented data" in platform.said(), "the second step", seconds=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=90) == 0, platform.said()
    assert processes_of(platform.home) == []


def test_down_stops_it_from_elsewhere(platform: Platform) -> None:
    process = start_psp("up", "--no-browser", environment=platform.environment, log=platform.log)
    wait_for(lambda: "PostgreSQL" in platform.said(), "the first step", seconds=60)
    answer = platform.psp("down")
    assert answer.code == 0, answer.err
    assert process.wait(timeout=5) == 0
    assert processes_of(platform.home) == []
    assert platform.psp("down").code == 0  # nothing runs: no error


def _pid(platform: Platform, name: str) -> int:
    return next(int(child["pid"]) for child in platform.status()["processes"] if child["name"] == name)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
