"""How long from a payment at the provider to its row in `fct_transactions` and the ping on the WebSocket.

Starts `psp up` on a moving world with the default intervals (Vima 60 s, PayShack 300 s) and follows the first `EVENTS`
new Vima operations. Half of the interval is waiting for the next look; the rest is the sensor, the run and the models.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from websockets.sync.client import connect as open_socket

from pipelines.core.postgres import connect
from pipelines.core.runtime import read_json
from tests.integration.cli.conftest import assert_nothing_left, shown_key, start_psp, wait_for
from tests.sandbox import PLATFORM_PORTS, free_ports

EVENTS = 20
LIMIT_SECONDS = 600


def main() -> int:
    """Print median and worst; exit code 1 when the events did not come."""
    with tempfile.TemporaryDirectory(prefix="psp-lag-") as folder:
        home, log = Path(folder) / "home", Path(folder) / "up.log"
        environment = {"PSP_HOME": str(home)} | free_ports(PLATFORM_PORTS)
        up = start_psp("up", "--no-browser", environment=environment, log=log)
        try:
            wait_for(lambda: "Ready." in log.read_text(), "a ready platform", seconds=LIMIT_SECONDS)
            state = read_json(home / "postgres.json")
            if state is None:
                raise SystemExit("the platform has not said where it is")
            socket = f"ws://127.0.0.1:{environment['PSP_SIDECAR_PORT']}/ws/updates"
            lags = _follow(str(state["url"]), socket, shown_key(log.read_text()))
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(timeout=120)
        assert_nothing_left(home)
    if len(lags) < EVENTS:
        sys.stdout.write(f"only {len(lags)} of {EVENTS} new payments within {LIMIT_SECONDS} s\n")
        return 1
    first = lags[:EVENTS]
    told = f"median {statistics.median(first):.1f} s, worst {max(first):.1f} s"
    sys.stdout.write(f"event to mart and ping, {EVENTS} payments: {told}\n")
    return 0


def _follow(url: str, socket: str, key: str) -> list[float]:
    """Seconds from creation at the provider to the ping after which the mart holds the payment."""
    began, deadline = datetime.now(UTC), time.monotonic() + LIMIT_SECONDS
    seen: dict[str, float] = {}
    with (
        connect(url, autocommit=True) as database,
        open_socket(socket, additional_headers={"Authorization": f"Bearer {key}"}, proxy=None) as feed,
    ):
        feed.send(json.dumps({"type": "subscribe", "events": ["freshness"]}))
        while len(seen) < EVENTS and time.monotonic() < deadline:
            try:
                message = json.loads(feed.recv(timeout=5))
            except TimeoutError:
                continue
            if message["type"] != "freshness" or message["data"]["source"] != "vima":
                continue
            now = datetime.now(UTC)
            rows = database.execute(
                "select transaction_id, created_at from marts.fct_transactions"
                " where source = 'vima' and created_at > %s order by created_at",
                (began,),
            ).fetchall()
            for name, created_at in rows:
                seen.setdefault(name, (now - created_at).total_seconds())
    return list(seen.values())


if __name__ == "__main__":
    sys.exit(main())
