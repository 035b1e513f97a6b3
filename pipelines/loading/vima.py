"""Loading Vima: the feed by update cursor, and single created days.

The feed goes on from the cursor in raw.source_cursors, chunk by chunk, until a request finds nothing new; only then
does the watermark move. A window reads one UTC day by the create cursor and never touches cursor or watermark.
"""

from collections.abc import Callable
from datetime import date

from pipelines.core.errors import SourceUnavailable
from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import vima_access
from pipelines.core.settings import Settings
from pipelines.loading.report import LoadReport
from pipelines.loading.runs import open_load
from pipelines.loading.watermarks import move_watermark, record_window_pass
from pipelines.sources.common.transport import HttpTransport
from pipelines.sources.vima.client import VimaClient
from pipelines.sources.vima.schema import OPERATIONS
from pipelines.sources.vima.source import ReadProgress, vima_feed, vima_window

PAGES_PER_CHUNK = 200
MAX_CHUNKS = 10_000

Progress = Callable[[LoadReport], None]


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
        read = ReadProgress(cursor=stored_cursor(load.url))
        for _ in range(MAX_CHUNKS):
            load.commit(vima_feed(client, progress=read, clock=settings.clock, max_pages=PAGES_PER_CHUNK))
            load.report.pages, load.report.rows_read = read.pages, read.rows
            if progress:
                progress(load.report)
            if read.complete_at is not None:
                break
        else:
            raise SourceUnavailable(
                f"Vima's feed has not ended after {read.pages} pages.", fix="run it again; it goes on from here"
            )
        for flow in ("payin", "payout"):
            load.report.watermarks[flow] = move_watermark(load.url, "vima", flow, read.complete_at, settings.clock())
        return load.report


def load_vima_window(settings: Settings, day: date, *, progress: Progress | None = None) -> LoadReport:
    """Load every operation created on one UTC day, as it is now. May run beside the feed and other days."""
    access = vima_access(settings)
    scope = day.isoformat()
    with (
        open_load(settings, source="vima", mode="window", scope=scope, lock=f"load:vima:window:{scope}") as load,
        HttpTransport(source="Vima", pause_seconds=access.page_pause_seconds) as transport,
    ):
        client = VimaClient(access, transport)
        read = ReadProgress()
        started_at = settings.clock()
        for _ in range(MAX_CHUNKS):
            load.commit(vima_window(client, day=day, progress=read, clock=settings.clock, max_pages=PAGES_PER_CHUNK))
            load.report.pages, load.report.rows_read = read.pages, read.rows
            if progress:
                progress(load.report)
            if read.complete_at is not None:
                break
        else:
            raise SourceUnavailable(f"Vima's day {scope} has not ended after {read.pages} pages.", fix="run it again")
        record_window_pass(
            load.url, "vima", OPERATIONS.table, day, total=read.rows, started_at=started_at, ended_at=settings.clock()
        )
        return load.report


def stored_cursor(url: str) -> int | None:
    """The update cursor up to which everything is committed, or None before the first load."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "select cursor_value from raw.source_cursors where source = 'vima' and stream = %s", (OPERATIONS.table,)
        ).fetchone()
    return int(row[0]) if row else None
