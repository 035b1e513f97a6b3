"""The live feed: one LISTEN for the process, and every client that subscribed gets what is announced.

    NOTIFY psp_freshness -> freshness                                 after a run of the models
    NOTIFY psp_activity  -> sync_started, sync_completed, sync_failed  as a load begins and ends
        -> Feed (one connection, comes back by itself) -> a bounded queue per client -> its socket

A client that does not keep up is dropped, not waited for: its queue fills, and it is cut off. After the connection to
the database was lost, freshness is told anew from the marts, since an announcement in between was not heard.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import psycopg
from psycopg import AsyncConnection, sql

from pipelines.core.errors import PlatformError
from pipelines.core.postgres import FRESHNESS_CHANNEL
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar.answers import encode
from pipelines.sidecar.database import ROLE, Database

logger = logging.getLogger("pipelines.sidecar.live")

Event = Literal["freshness", "sync_started", "sync_completed", "sync_failed"]
EVENTS: tuple[Event, ...] = get_args(Event)

ACTIVITY_CHANNEL = "psp_activity"
QUEUE_LENGTH = 64
MAX_CLIENTS = 5000
PROBE_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0

CURRENT = """
select source, flow, rows_total as rows, watermark, extract(epoch from %(now)s - watermark)::float8 as lag_seconds
from marts.rpt_source_health
order by source, flow
"""


def message(kind: str, data: object) -> str:
    """A message of the contract: {type, data, timestamp}."""
    return encode({"type": kind, "data": data, "timestamp": datetime.now(UTC)}).decode()


class Client:
    """One socket's side of the feed."""

    def __init__(self) -> None:
        self.events: frozenset[str] = frozenset()
        self.dropped = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)

    def give(self, text: str) -> None:
        """Queue a message; a client whose queue is full is dropped."""
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.dropped.set()

    async def next(self) -> str:
        """The oldest message that is waiting."""
        return await self._queue.get()


class Feed:
    """The LISTEN connection and the clients that hear of it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._clients: set[Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._connection: AsyncConnection[Any] | None = None
        self._heard: dict[tuple[str, str], tuple[object, object]] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name="live feed")

    async def stop(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def join(self) -> Client | None:
        """A new client, or None when there are too many."""
        if len(self._clients) >= MAX_CLIENTS:
            return None
        client = Client()
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """The client is gone."""
        self._clients.discard(client)

    def publish(self, kind: str, data: object) -> None:
        """Give an event to everyone who subscribed to it; encoded once, waits for nobody."""
        text = message(kind, data)
        for client in self._clients:
            if kind in client.events:
                client.give(text)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await self._connect() as connection:
                    for channel in (FRESHNESS_CHANNEL, ACTIVITY_CHANNEL):
                        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    pause = FIRST_PAUSE_SECONDS
                    await self._catch_up()
                    await self._listen(connection)
            except (psycopg.Error, PlatformError) as error:
                logger.warning("The live feed lost the database and tries again: %s", redact(str(error)).split("\n")[0])
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            database_url(self._settings),
            autocommit=True,
            application_name="psp-sidecar-listen",
            connect_timeout=5,
            options=f"-c timezone=UTC -c role={ROLE}",
            # A server that vanished without a word is noticed, too.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        while True:
            async for notify in connection.notifies(timeout=PROBE_SECONDS):
                self._hear(notify.payload)
            await connection.execute("select 1")

    def _hear(self, payload: str) -> None:
        try:
            data = json.loads(payload)
            kind = data.pop("type", "freshness")
        except (ValueError, AttributeError, TypeError):
            logger.warning("An announcement that is no JSON object was left out.")
            return
        if kind not in EVENTS:
            return
        if kind == "freshness":
            self._heard[str(data.get("source")), str(data.get("flow"))] = (data.get("rows"), data.get("watermark"))
        self.publish(kind, data)

    async def _catch_up(self) -> None:
        """Tell what has changed since the last announcement that was heard. On the first connection nobody waits."""
        try:
            async with self._database.snapshot() as reader:
                rows = await reader.rows(CURRENT, {"now": self._settings.clock()})
        except psycopg.ProgrammingError:
            return  # no marts yet
        for row in rows:
            watermark = row["watermark"].isoformat() if row["watermark"] else None
            place, state = (row["source"], row["flow"]), (row["rows"], watermark)
            if self._heard.get(place, state) != state:
                self.publish("freshness", row | {"watermark": watermark, "as_of": self._settings.clock().isoformat()})
            self._heard[place] = state


def known(events: Iterable[str]) -> frozenset[str] | None:
    """The events of a subscription, or None when one of them does not exist."""
    wanted = frozenset(events)
    return wanted if wanted <= set(EVENTS) else None
