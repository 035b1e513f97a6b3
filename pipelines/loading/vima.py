"""Loading Vima: the feed by update cursor, and single created days.

The feed goes on from the cursor in raw.source_cursors until a request finds nothing new; only then, and when all of it
is committed, does the watermark move. It begins OVERLAP_ROWS before the cursor: an id given out before, but committed
by Vima after, would otherwise be passed by for ever; what is known is read for nothing.

A window reads one UTC day by the create cursor and never touches cursor or watermark; one that was interrupted goes on
where its last committed chunk ended.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import pyarrow as pa

from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import vima_access
from pipelines.core.settings import Settings
from pipelines.loading.days import DayOutcome, load_days
from pipelines.loading.report import LoadReport, Progress
from pipelines.loading.runs import Load, open_load
from pipelines.loading.watermarks import move_watermark, record_window_pass, records_of_day, resume_window
from pipelines.sources.common.pace import Pace
from pipelines.sources.common.transport import HttpTransport
from pipelines.sources.vima.client import VimaClient
from pipelines.sources.vima.schema import OPERATIONS
from pipelines.sources.vima.source import ReadProgress, feed_pages, vima_resource, window_pages

OVERLAP_ROWS = 100
PAGES_BETWEEN_PROGRESS = 50


def load_vima_feed(settings: Settings, *, progress: Progress | None = None) -> LoadReport:
    """Load every operation created or changed since the stored cursor.

    Raises ConflictError when a feed is already running, else the SourceError, DatabaseError or LoadError in its way.
    """
    access = vima_access(settings)
    with (
        open_load(settings, source="vima", mode="feed", scope="update cursor") as load,
        HttpTransport(source="Vima", pause_seconds=access.page_pause_seconds) as transport,
    ):
        client = VimaClient(access, transport)
        read = ReadProgress(cursor=_feed_start(load.url))
        _commit(load, read, feed_pages(client, progress=read, clock=settings.clock), progress)
        for flow in ("payin", "payout"):
            load.report.watermarks[flow] = move_watermark(load.url, "vima", flow, read.complete_at, settings.clock())
        return load.report


def load_vima_window(
    settings: Settings, day: date, *, progress: Progress | None = None, pace: Pace | None = None
) -> LoadReport:
    """Load every operation created on one UTC day, as it is now. May run beside the feed and other days.

    `pace` is given where several days share the provider's patience.
    """
    access = vima_access(settings)
    with (
        open_load(settings, source="vima", mode="window", scope=day.isoformat()) as load,
        HttpTransport(source="Vima", pace=pace or Pace(access.page_pause_seconds)) as transport,
    ):
        client = VimaClient(access, transport)
        began = settings.clock()
        resumed = resume_window(load.url, "vima", OPERATIONS.table, day, began)
        read = ReadProgress(cursor=resumed.position if resumed else None)
        _commit(load, read, window_pages(client, day=day, progress=read, clock=settings.clock), progress)
        # Vima tells no total of its own; the part that was read before an interruption is counted in the raw log.
        count = records_of_day(load.url, OPERATIONS.table, day) if resumed else read.rows
        record_window_pass(
            load.url,
            "vima",
            OPERATIONS.table,
            day,
            total=count,
            distinct=count,
            started_at=resumed.started_at if resumed else began,
            ended_at=settings.clock(),
        )
        return load.report


def load_vima_windows(
    settings: Settings, days: Sequence[date], *, progress: Progress | None = None
) -> Iterator[DayOutcome]:
    """Load several UTC created days, VIMA_PARALLEL_DAYS at once. `progress` may be called from several threads."""
    pace = Pace(vima_access(settings).page_pause_seconds)
    return load_days(
        days,
        lambda day: load_vima_window(settings, day, progress=progress, pace=pace),
        workers=settings.vima_parallel_days,
    )


def stored_cursor(url: str) -> int | None:
    """The update cursor up to which everything is committed, or None before the first load."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "select cursor_value from raw.source_cursors where source = 'vima' and stream = %s", (OPERATIONS.table,)
        ).fetchone()
    return int(row[0]) if row else None


def _feed_start(url: str) -> int | None:
    """The update id to begin with: the stored cursor, less the newest OVERLAP_ROWS known up to it."""
    cursor = stored_cursor(url)
    if cursor is None:
        return None
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "select min(source_order) from (select source_order from raw.vima_operations where source_order <= %s"
            " order by source_order desc limit %s) as newest",
            (cursor, OVERLAP_ROWS),
        ).fetchone()
    return cursor if row is None or row[0] is None else int(row[0])


def _commit(load: Load, read: ReadProgress, pages: Iterator[pa.Table], progress: Progress | None) -> None:
    """Commit the pages to the last one, and report."""

    def counted() -> Iterator[pa.Table]:
        for page in pages:
            load.report.pages, load.report.rows_read = read.pages, read.rows
            if progress and read.pages % PAGES_BETWEEN_PROGRESS == 0:
                progress(load.report)
            yield page

    load.commit(vima_resource(counted))
    if progress:
        progress(load.report)
