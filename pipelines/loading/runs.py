"""One load at a time per source, mode and scope, each with a line in raw.load_runs that says how it went.

The right to load is a PostgreSQL advisory lock on a session of its own: it goes with the process that holds it, however
that ends. Whoever loads the same source next closes the lines that dead processes left as `running`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any

import psycopg

from pipelines.core.errors import ConflictError, DatabaseError, LoadError, PlatformError
from pipelines.core.postgres import LOADER, advisory_key, connect
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.loading.report import LoadReport
from pipelines.loading.sink import Sink


class Load:
    """An open load: takes dlt resources and commits them. Made by `open_load`."""

    def __init__(self, settings: Settings, url: str, report: LoadReport) -> None:
        self.settings = settings
        self.report = report
        self.url = url
        self._sink = Sink(url=url, source=report.source, clock=settings.clock, on_commit=self._count)

    def commit(self, *resources: Any) -> None:
        """Read the resources to their end through dlt, and commit what they yield while the rest is being read.

        What was read before a failure is committed all the same. Raises the reader's own PlatformError, DatabaseError,
        or LoadError; nothing is committed after one that the database raised.
        """
        try:
            try:
                for resource in resources:
                    for page in resource:
                        self._sink.take(resource.name, page)
            finally:
                self._sink.flush()
        except Exception as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Wait for what is being committed, however that ends."""
        self._sink.close()

    def _count(self, table: str, new: int, quarantined: int) -> None:
        self.report.count(table, new=new, quarantined=quarantined)


@contextmanager
def open_load(settings: Settings, *, source: str, mode: str, scope: str) -> Iterator[Load]:
    """The right to load `scope` of `source` and a line in raw.load_runs, for the length of the block.

    Raises ConflictError when the same is being loaded already.
    """
    # dlt's only switch that works before its runtime starts; nothing of ours phones home.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    url = database_url(settings)
    report = LoadReport(source=source, mode=mode, scope=scope)
    began = time.monotonic()
    with connect(url, role=LOADER, autocommit=True, application="psp-load") as connection:
        _take_right(connection, report)
        _close_dead_lines(connection, source, settings.clock())
        run_id = _begin(connection, report, settings.clock())
        load = Load(settings, url, report)
        try:
            # What is still being committed belongs to this load: the right is not given back before.
            with closing(load):
                yield load
        except BaseException as error:
            _end(connection, run_id, report, settings.clock(), error)
            raise
        else:
            report.duration_seconds = time.monotonic() - began
            _end(connection, run_id, report, settings.clock(), None)
        finally:
            _give_right_back(connection, report)


def _lock_of(source: str, mode: str, scope: str) -> int:
    return advisory_key(f"load:{source}:{mode}:{scope}")


def _take_right(connection: psycopg.Connection, report: LoadReport) -> None:
    key = _lock_of(report.source, report.mode, report.scope)
    row = connection.execute("select pg_try_advisory_lock(%s)", (key,)).fetchone()
    if row is None or not row[0]:
        raise ConflictError(
            f"{report.source} ({report.mode}, {report.scope}) is already being loaded by another process.",
            fix="wait for it to end; nothing needs to be done",
        )


def _give_right_back(connection: psycopg.Connection, report: LoadReport) -> None:
    """At once: a closed session keeps its rights until the server has noticed, and the next load would be refused."""
    with suppress(psycopg.Error):  # the session is gone, and the right with it
        connection.execute("select pg_advisory_unlock(%s)", (_lock_of(report.source, report.mode, report.scope),))


def _close_dead_lines(connection: psycopg.Connection, source: str, now: datetime) -> None:
    """Lines still `running` whose right nobody else holds belong to processes that are no more."""
    running = connection.execute(
        "select load_run_id, mode, scope from raw.load_runs where source = %s and status = 'running'", (source,)
    ).fetchall()
    if not running:
        return
    held = {
        row[0]
        for row in connection.execute(
            "select (classid::bigint << 32) | objid::bigint from pg_locks"
            " where locktype = 'advisory' and granted and objsubid = 1 and pid <> pg_backend_pid()"
            " and database = (select oid from pg_database where datname = current_database())"
        )
    }
    dead = [run_id for run_id, mode, scope in running if _lock_of(source, mode, scope) not in held]
    connection.execute(
        "update raw.load_runs set status = 'failed', finished_at = %s, error = 'the process ended without a word'"
        " where load_run_id = any(%s) and status = 'running'",
        (now, dead),
    )


def _begin(connection: psycopg.Connection, report: LoadReport, now: datetime) -> int:
    row = connection.execute(
        "insert into raw.load_runs (source, mode, scope, status, started_at) values (%s, %s, %s, 'running', %s)"
        " returning load_run_id",
        (report.source, report.mode, report.scope, now),
    ).fetchone()
    if row is None:
        raise LoadError(f"The load of {report.source} could not be recorded.", fix="look into the database's log")
    return int(row[0])


def _end(
    connection: psycopg.Connection, run_id: int, report: LoadReport, now: datetime, error: BaseException | None
) -> None:
    try:
        connection.execute(
            "update raw.load_runs set status = %s, finished_at = %s, pages = %s, rows_read = %s, rows_new = %s,"
            " rows_quarantined = %s, error = %s where load_run_id = %s",
            (
                "failed" if error else "succeeded",
                now,
                report.pages,
                report.rows_read,
                report.rows_new,
                report.rows_quarantined,
                redact(str(error) or type(error).__name__) if error else None,
                run_id,
            ),
        )
    except psycopg.Error:
        if error is None:
            raise DatabaseError(
                "The connection to PostgreSQL was lost at the end of a load.", fix="run it again; re-reading is free"
            ) from None
        # The load failed because the database went away: the next one closes this line.


def _translated(error: BaseException) -> PlatformError:
    """The failure as one of ours: dlt wraps what happened in a reader several times."""
    found: BaseException | None = error
    for _ in range(20):
        if found is None:
            break
        if isinstance(found, PlatformError):
            return found
        if isinstance(found, psycopg.OperationalError | psycopg.InterfaceError):
            return DatabaseError(
                "PostgreSQL went away in the middle of a load; nothing half was kept.",
                fix="run `psp doctor`; the next load goes on where this one stopped",
            )
        if isinstance(found, psycopg.Error):
            # Only the primary message: detail and context quote the row.
            return LoadError(
                f"PostgreSQL refused the rows: {redact(found.diag.message_primary or type(found).__name__)}.",
                fix="the raw log is as before this chunk; see the database's log",
            )
        found = found.__cause__ or found.__context__
    return LoadError(
        f"Rows could not be loaded: {type(error).__name__}: {redact(str(error))[:300]}",
        fix="the raw log is as before this chunk; see the run's log, then run it again",
    )
