"""A running platform on a moving world: what happens at the provider is seen in the marts, and told, by itself."""

import json
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from websockets.sync.client import connect as open_socket

from pipelines.core.postgres import connect
from pipelines.core.runtime import read_json
from tests.integration.cli.conftest import assert_nothing_left, start_psp, wait_for
from tests.sandbox import free_port

pytestmark = pytest.mark.slow

START_SECONDS = 240
NEWS_SECONDS = 120
PORTS = ("PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT", "PSP_SANDBOX_VIMA_PORT", "PSP_SANDBOX_PAYSHACK_PORT")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = {"PSP_HOME": str(tmp_path / "home"), "PSP_SANDBOX_ORDERS": "300", "VIMA_POLL_SECONDS": "5"}
    yield variables | {name: str(free_port()) for name in PORTS}
    assert_nothing_left(tmp_path / "home")


def test_a_new_payment_reaches_mart_and_websocket_without_a_hand(environment: dict[str, str], tmp_path: Path) -> None:
    log, home = tmp_path / "up.log", Path(environment["PSP_HOME"])
    up = start_psp("up", "--no-browser", environment=environment, log=log)
    try:
        wait_for(lambda: "Ready." in log.read_text() or up.poll() is not None, "a start", seconds=START_SECONDS)
        key = re.search(r"API key (psp_\S+)", log.read_text())
        state = read_json(home / "postgres.json")
        assert key, log.read_text()
        assert state
        began, deadline = datetime.now(UTC), time.monotonic() + NEWS_SECONDS
        socket = f"ws://127.0.0.1:{environment['PSP_SIDECAR_PORT']}/ws/updates"
        headers = {"Authorization": f"Bearer {key[1]}"}
        with (
            connect(str(state["url"]), autocommit=True) as database,
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
            assert arrived, "a ping after which the mart holds a payment younger than the start"
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=120) == 0
