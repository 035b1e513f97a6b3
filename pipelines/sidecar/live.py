"""The live feed: one LISTEN for the process, and every client that subscribed gets what is announced.

    NOTIFY psp_freshness -> freshness                                 after a run of the models
                         -> reconciliation_completed, alert           what it has changed, see changes.py
    NOTIFY psp_activity  -> sync_started, sync_completed, sync_failed  as a load begins and ends
    NOTIFY psp_marts     -> nobody is told; kept answers are forgotten  as each model commits
        -> Feed (one connection, comes back by itself) -> a bounded queue per client -> its socket

A client that does not keep up is dropped, not waited for: its queue fills, and it is cut off. After the connection to
the database was lost, freshness is told anew from the marts, since an announcement in between was not heard.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import psycopg
from psycopg import AsyncConnection, sql
from psycopg_pool import PoolClosed, PoolTimeout

from pipelines.core.errors import PlatformError
from pipelines.core.postgres import FRESHNESS_CHANNEL
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar.answers import encode
from pipelines.sidecar.changes import Changes
from pipelines.sidecar.database import ROLE, Database
from pipelines.sidecar.remembered import Revision

logger = logging.getLogger("pipelines.sidecar.live")

Event = Literal["freshness", "sync_started", "sync_completed", "sync_failed", "reconciliation_completed", "alert"]
EVENTS: tuple[Event, ...] = get_args(Event)
ANNOUNCED = frozenset({"freshness", "sync_started", "sync_completed", "sync_failed"})
"""Those that come as they are from the database."""

ACTIVITY_CHANNEL = "psp_activity"
MARTS_CHANNEL = "psp_marts"
QUEUE_LENGTH = 64
MAX_CLIENTS = 5000
PROBE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
CANCEL_SECONDS = 0.5
MAX_CANCELS = 20

CURRENT = """
select source, flow, rows_total as rows, watermark, extract(epoch from %(now)s - watermark)::float8 as lag_seconds
from marts.rpt_source_health
order by source, flow
"""

# Files and written rows of the marts, as PostgreSQL counts them: a few hundred microseconds, whatever they hold.
FINGERPRINT = """
select
    coalesce(sum(hashint8extended(class.oid::bigint, class.relfilenode::bigint)), 0) as files,
    coalesce(sum(
        pg_stat_get_tuples_inserted(class.oid) + pg_stat_get_tuples_updated(class.oid)
        + pg_stat_get_tuples_deleted(class.oid)
    ), 0) as written
from pg_class as class
inner join pg_namespace as namespace on class.relnamespace = namespace.oid
where namespace.nspname in ('marts', 'breaks') and class.relkind in ('r', 'm', 'v')
"""


def message(kind: str, data: object) -> str:
    """A message of the contract: {type, data, timestamp}."""
    return encode({"type": kind, "data": data, "timestamp": datetime.now(UTC)}).decode()


class Client:
    """One socket's side of the feed."""

    def __init__(self) -> None:
        self.events: frozenset[str] = frozenset()
        self.projects: frozenset[str] | None = None
        self.dropped = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)

    def give(self, text: str) -> None:
        """Queue a message; a client whose queue is full is dropped."""
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.dropped.set()

    def wants(self, kind: str, project: object) -> bool:
        """Whether it subscribed to such an event; what is of no project is for everyone."""
        return kind in self.events and (self.projects is None or project is None or project in self.projects)

    async def next(self) -> str:
        """The oldest message that is waiting."""
        return await self._queue.get()


class Feed:
    """The LISTEN connection and the clients that hear of it."""

    def __init__(self, settings: Settings, database: Database, revision: Revision) -> None:
        self._settings, self._database, self._revision = settings, database, revision
        self._fingerprint: object = None
        self._clients: set[Client] = set()
        self._changes, self._modelled = Changes(database), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: dict[tuple[str, str], tuple[object, object]] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(work) for work in (self._run(), self._tell_changes())]

    async def stop(self) -> None:
        """End the connection."""
        await end_tasks(self._tasks)

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

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Give an event to everyone who subscribed to it; encoded once, waits for nobody."""
        text = message(kind, data)
        for client in self._clients:
            if client.wants(kind, data.get("project")):
                client.give(text)

    async def _tell_changes(self) -> None:
        """Once for all the announcements of a run, which come together."""
        while True:
            await self._modelled.wait()
            self._modelled.clear()
            try:
                for kind, data in await self._changes.news():
                    self.publish(kind, data)
            except psycopg.ProgrammingError:
                continue  # no marts yet
            except (psycopg.Error, PoolTimeout, PoolClosed) as error:
                logger.warning("Changes could not be read: %s", redact(str(error)).split("\n")[0])

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await self._connect() as connection:
                    for channel in (FRESHNESS_CHANNEL, ACTIVITY_CHANNEL, MARTS_CHANNEL):
                        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    pause = FIRST_PAUSE_SECONDS
                    self._revision.move()
                    await self._catch_up()
                    await self._listen(connection)
            except (psycopg.Error, PlatformError) as error:
                logger.warning("The live feed lost the database and tries again: %s", redact(str(error)).split("\n")[0])
            finally:
                self._revision.lose()
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
                if notify.channel != ACTIVITY_CHANNEL:
                    self._revision.move()
                if notify.channel != MARTS_CHANNEL:
                    self._hear(notify.payload)
            await self._look(connection)

    async def _look(self, connection: AsyncConnection[Any]) -> None:
        """Notice what nobody announced, such as a single mart that a person rebuilt; proves the connection as well."""
        cursor = await connection.execute(FINGERPRINT)
        found = await cursor.fetchone()
        if found != self._fingerprint:
            self._fingerprint = found
            self._revision.move()

    def _hear(self, payload: str) -> None:
        try:
            data = json.loads(payload)
            kind = data.pop("type", "freshness")
        except (ValueError, AttributeError, TypeError):
            logger.warning("An announcement that is no JSON object was left out.")
            return
        if not isinstance(kind, str) or kind not in ANNOUNCED:
            return
        if kind == "freshness":
            self._heard[str(data.get("source")), str(data.get("flow"))] = (data.get("rows"), data.get("watermark"))
            self._modelled.set()
        self.publish(kind, data)

    async def _catch_up(self) -> None:
        """Tell what has changed since the last announcement that was heard. On the first connection nobody waits."""
        self._modelled.set()
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


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and see them end, asking again where the first word was lost.

    The pool waits for a connection in asyncio.wait_for, which before Python 3.12 forgets a cancellation that arrives
    together with the connection; whoever then waits for the task waits for ever.
    """
    for task in tasks:
        for _ in range(MAX_CANCELS):
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
            if task.done():
                break
        else:
            logger.warning("A task of the live feed does not end and is left behind.")
            continue
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A task of the live feed had failed: %s", redact(str(error)).split("\n")[0])


def known(events: Iterable[str]) -> frozenset[str] | None:
    """The events of a subscription, or None when one of them does not exist."""
    wanted = frozenset(events)
    return wanted if wanted <= set(EVENTS) else None
