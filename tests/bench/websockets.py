"""A thousand live clients of one sidecar: `python -m tests.bench.websockets [--minutes 10]`.

    every one gets each announcement; the 99th percentile from commit to client is under a second
    memory stays level over minutes of announcements

(That one that reads nothing harms none is in tests/integration/sidecar/test_sidecar_live.py.)

The clients are in a process of their own; both processes share the machine with PostgreSQL.
"""

import argparse
import asyncio
import base64
import json
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines.core.postgres import FRESHNESS_CHANNEL, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from tests.bench.big_marts import big_marts, running_marts
from tests.bench.load import percentile
from tests.bench.sidecar_reads import fresh_key, running_sidecar

CLIENTS, PING_SECONDS = 1000, 2.0
MAX_P99_SECONDS, MAX_GROWTH = 1.0, 1.1
SETTLED_SHARE = 0.2


@dataclass
class Seen:
    """What the clients have received: by number of the announcement, the seconds that each took."""

    delays: dict[int, list[float]] = field(default_factory=dict)
    sent_at: dict[int, float] = field(default_factory=dict)
    lost: int = 0


def main() -> int:
    """Print the figures; exit code 1 when one of them is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--home", type=Path, help="of a server that tests.bench.big_marts has left running")
    asked = parser.parse_args()
    with ExitStack() as stack:
        settings = running_marts(asked.home) if asked.home else stack.enter_context(big_marts(1000))
        settings, process = stack.enter_context(running_sidecar(settings))
        # A key may ask 200 times a second, and a thousand come at once.
        keys = [stack.enter_context(fresh_key(settings, "read")) for _ in range(10)]
        return asyncio.run(_measure(settings, keys, psutil.Process(process.pid), asked.clients, asked.minutes * 60))


async def _measure(settings: Settings, keys: list[str], server: psutil.Process, number: int, seconds: float) -> int:
    seen = Seen()
    port = settings.psp_sidecar_port
    began = time.monotonic()
    clients = []
    for start in range(0, number, 100):
        batch = range(start, min(start + 100, number))
        clients += await asyncio.gather(*(_connected(port, keys[place % len(keys)]) for place in batch))
    tasks = [asyncio.create_task(_listen(reader, writer, seen)) for reader, writer in clients]
    sys.stdout.write(f"{number:,} clients connected in {time.monotonic() - began:.1f} s\n")
    memory: list[float] = []
    sent, deadline = 0, time.monotonic() + seconds
    with connect(database_url(settings), autocommit=True) as database:
        while time.monotonic() < deadline:
            sent += 1
            payload = json.dumps({"source": "vima", "flow": "payin", "rows": sent, "note": "x" * 200})
            # Before the commit, so that what is measured is rather too long.
            seen.delays[sent], seen.sent_at[sent] = [], time.monotonic()
            await asyncio.to_thread(database.execute, "select pg_notify(%s, %s)", (FRESHNESS_CHANNEL, payload))
            await asyncio.sleep(PING_SECONDS)
            memory.append(server.memory_info().rss / 1e6)
    await asyncio.sleep(MAX_P99_SECONDS * 2)
    for task in tasks:
        task.cancel()
    for _, writer in clients:
        writer.close()
    return _judge(seen, memory, sent, number)


def _judge(seen: Seen, memory: list[float], sent: int, number: int) -> int:
    delays = [delay for found in seen.delays.values() for delay in found]
    # The first minute fills buffers of a thousand connections.
    settled = memory[int(len(memory) * SETTLED_SHARE) :] or memory
    growth = settled[-1] / settled[0]
    p99 = percentile(delays, 0.99) if delays else float("inf")
    verdicts = {
        f"{sent} announcements, each reached all {number:,}": all(len(it) == number for it in seen.delays.values()),
        f"p50 {1000 * percentile(delays, 0.5):.0f} ms, p99 {1000 * p99:.0f} ms (under 1,000)": p99 < MAX_P99_SECONDS,
        f"memory {settled[0]:.0f} -> {settled[-1]:.0f} MB, x{growth:.2f} (at most {MAX_GROWTH})": growth <= MAX_GROWTH,
    }
    for text, holds in verdicts.items():
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {text}\n")
    return 0 if all(verdicts.values()) else 1


async def _connected(port: int, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A subscribed client, by hand: a library would spend more on a message than the server does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    nonce = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws/updates HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise SystemExit(f"not let in: {head[:80]!r}")
    writer.write(_frame(json.dumps({"type": "subscribe", "events": ["freshness"]}).encode()))
    while (await _message(reader, writer))["type"] != "subscribed":
        pass
    return reader, writer


def _frame(text: bytes, *, kind: int = 1) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    return bytes([0x80 | kind, 0x80 | len(text)]) + mask + body


async def _message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, object]:
    while True:
        head = await reader.readexactly(2)
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2))
        body = await reader.readexactly(length)
        if head[0] & 0x0F == 9:
            writer.write(_frame(body, kind=10))
        if head[0] & 0x0F == 1:
            found: dict[str, object] = json.loads(body)
            return found


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Note when each announcement comes."""
    try:
        while True:
            told = await _message(reader, writer)
            now = time.monotonic()
            data = told["data"]
            if told["type"] == "freshness" and isinstance(data, dict) and data.get("note"):
                number = int(data["rows"])
                seen.delays[number].append(now - seen.sent_at[number])
    except (asyncio.IncompleteReadError, ConnectionError):
        seen.lost += 1


if __name__ == "__main__":
    sys.exit(main())
