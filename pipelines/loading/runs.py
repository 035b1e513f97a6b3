"""One load at a time per source and mode, each with a line in raw.load_runs that says how it went.

The right to load is a PostgreSQL advisory lock on a session of its own: it goes with the process that holds it, however
that ends. Whoever takes it next closes the lines that a dead process left as `running`.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
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

    def __init__(self, settings: Settings, url: str, report: LoadReport, folder: Path) -> None:
        self.settings = settings
        self.report = report
        self.url = url
        self._sink = Sink(url=url, source=report.source, clock=settings.clock, on_commit=self._count)
        self._pipeline: Any = None
        self._folder = folder

    def commit(self, *resources: Any) -> None:
        """Read the resources to their end through dlt and commit what they yield, per table in one transaction.

        Raises the reader's own PlatformError, DatabaseError, or LoadError. What was committed before stays.
        """
        if self._pipeline is None:
            # dlt's only switch that works before its runtime starts; nothing of ours phones home.
            os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
            self._pipeline = dlt.pipeline(
                pipeline_name=f"raw_{self.report.source}",
                pipelines_dir=str(self._folder),
                destination=self._sink.destination(),
                dataset_name="raw",
                progress=None,
            )
            # The cursor is ours, so dlt has no state to keep; and its loader waits a whole second for a job of state.
            self._pipeline.config.restore_from_destination = False
        try:
            self._pipeline.run(list(resources), loader_file_format="parquet")
        except Exception as error:
            raise _translated(self._sink.failure or error) from error

    def _count(self, table: str, new: int, quarantined: int) -> None:
        self.report.count(table, new=new, quarantined=quarantined)


@contextmanager
def open_load(settings: Settings, *, source: str, mode: str, scope: str, lock: str | None = None) -> Iterator[Load]:
    """The right to load `source`, a line in raw.load_runs and a working folder, for the length of the block.

    `lock` names what must not run twice (default: the source and mode). Raises ConflictError when it already does.
    The folder is new each time: whatever a killed process left there is dropped, since re-reading is free.
    """
    url = database_url(settings)
    name = lock or f"load:{source}:{mode}"
    report = LoadReport(source=source, mode=mode, scope=scope)
    began = time.monotonic()
    with connect(url, role=LOADER, autocommit=True, application="psp-load") as connection:
        _take_right(connection, name, source)
        run_id = _begin(connection, report, settings.clock(), name)
        folder = settings.psp_home / "dlt" / f"{source}-{uuid.uuid4().hex[:12]}"
        try:
            yield Load(settings, url, report, folder)
        except BaseException as error:
            _end(connection, run_id, report, settings.clock(), error)
            raise
        else:
            report.duration_seconds = time.monotonic() - began
            _end(connection, run_id, report, settings.clock(), None)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _take_right(connection: psycopg.Connection, name: str, source: str) -> None:
    row = connection.execute("select pg_try_advisory_lock(%s)", (advisory_key(name),)).fetchone()
    if row is None or not row[0]:
        raise ConflictError(
            f"{source} is already being loaded by another process.", fix="wait for it to end; nothing needs to be done"
        )


def _begin(connection: psycopg.Connection, report: LoadReport, now: datetime, lock: str) -> int:
    connection.execute(
        "update raw.load_runs set status = 'failed', finished_at = %s, error = 'the process ended without a word'"
        " where source = %s and mode = %s and scope = %s and status = 'running'",
        (now, report.source, report.mode, report.scope),
    )
    row = connection.execute(
        "insert into raw.load_runs (source, mode, scope, status, started_at) values (%s, %s, %s, 'running', %s)"
        " returning load_run_id",
        (report.source, report.mode, report.scope, now),
    ).fetchone()
    if row is None:
        raise LoadError(f"The load of {lock} could not be recorded.", fix="look into the database's log")
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
    """The failure as one of ours: dlt wraps what happened in extraction and loading several times."""
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
        found = found.__cause__ or found.__context__
    return LoadError(
        f"Rows could not be loaded: {type(error).__name__}: {redact(str(error))[:300]}",
        fix="the raw log is as before this chunk; see the run's log, then run it again",
    )
