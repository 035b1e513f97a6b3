"""The way to the warehouse: a pool of connections in role psp_sidecar, which reads what psp_reader reads.

One request reads in one snapshot, and how fresh that snapshot is comes with it. `numeric` arrives as the text that
PostgreSQL wrote, so an amount is exact all the way; rates are cast to float8 in their query.
The URL is asked for at every new connection: an embedded server that came back on another port is found again.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from pipelines.core.errors import DatabaseError
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar import freshness
from pipelines.sidecar.freshness import Freshness

ROLE = "psp_sidecar"
POOL_SIZE = 10
WAIT_SECONDS = 3.0
STATEMENT_SECONDS = 10
TRUSTED_SECONDS = 1.0

Parameters = Mapping[str, object]
Row = dict[str, Any]
Query = str | sql.SQL | sql.Composed


class ExactText(Loader):
    """numeric as PostgreSQL writes it."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("ascii")


async def _configure(connection: AsyncConnection[Row]) -> None:
    connection.adapters.register_loader("numeric", ExactText)
    # A transaction is one snapshot; single statements stay in autocommit.
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)


async def _check(connection: AsyncConnection[Row]) -> None:
    """Ask a connection that has rested whether it still lives; one that was just used need not be asked."""
    if isinstance(connection, Known) and time.monotonic() - connection.used_at < TRUSTED_SECONDS:
        return
    await AsyncConnectionPool.check_connection(connection)


class Known(AsyncConnection[Row]):
    """A connection that knows when it was last used."""

    used_at = 0.0


class Reader:
    """One snapshot of the warehouse, with how fresh it is."""

    def __init__(self, connection: AsyncConnection[Row], fresh: Freshness) -> None:
        self.freshness = fresh
        self._connection = connection

    async def rows(self, query: Query, parameters: Parameters) -> list[Row]:
        """All rows of a query."""
        cursor = await self._connection.execute(query, parameters)
        return await cursor.fetchall()

    async def row(self, query: Query, parameters: Parameters) -> Row | None:
        """The first row of a query."""
        cursor = await self._connection.execute(query, parameters)
        return await cursor.fetchone()

    async def total(self, query: Query, parameters: Parameters) -> int:
        """What a counting query found."""
        row = await self.row(query, parameters)
        return int(row["total"]) if row else 0


class Database:
    """The pool. Opens without waiting for a server, and finds it by itself when it comes or comes back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Many small questions at once: a parallel worker costs more than it gives, and takes it from others.
        options = f"-c timezone=UTC -c role={ROLE} -c statement_timeout={STATEMENT_SECONDS}s"
        options += " -c max_parallel_workers_per_gather=0"
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            self._conninfo,
            connection_class=Known,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "application_name": "psp-sidecar",
                "connect_timeout": 5,
                "options": options,
            },
            min_size=1,
            max_size=POOL_SIZE,
            timeout=WAIT_SECONDS,
            max_waiting=POOL_SIZE * 20,
            reconnect_timeout=WAIT_SECONDS,
            configure=_configure,
            check=_check,
            open=False,
            name="sidecar",
        )

    async def open(self) -> None:
        """Start filling the pool; returns at once."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """End all connections."""
        await self._pool.close(timeout=WAIT_SECONDS)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """A reader whose queries all see the same instant. Raises psycopg's and the pool's errors."""
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(freshness.QUERY, freshness.parameters(self._settings))
            yield Reader(connection, _fresh(await cursor.fetchone()))
            if isinstance(connection, Known):
                connection.used_at = time.monotonic()

    async def freshness(self) -> Freshness:
        """How fresh the marts are; unknown where there are none or no database, for answers that need neither."""
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(freshness.QUERY, freshness.parameters(self._settings))
                return _fresh(await cursor.fetchone())
        except (psycopg.Error, PoolTimeout, PoolClosed):
            return freshness.UNKNOWN

    async def write(self, query: Query, parameters: Parameters) -> None:
        """One statement of the audit trail, committed when this returns."""
        async with self._pool.connection() as connection:
            await connection.execute(query, parameters)

    async def rows_as(self, role: str, query: Query, parameters: Parameters) -> list[Row]:
        """Rows that another role may read; the role is given back with the transaction."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    def _conninfo(self) -> str:
        try:
            return database_url(self._settings)
        except DatabaseError as error:
            raise psycopg.OperationalError(error.message) from error


def _fresh(row: Row | None) -> Freshness:
    return Freshness(as_of=row["as_of"], stale_at=row["stale_at"]) if row else freshness.UNKNOWN
