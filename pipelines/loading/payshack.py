"""Loading PayShack: the first time its whole history day by day, then look-back days and today, directories each time.

There is no cursor and no "changed since". A pass over a flow is complete when every day from the first record's to
today has once been read to its end, and the look-back days and today in this pass; its start is then the watermark.
A first load that dies goes on at the day where it stopped, since finished days are in raw.window_passes.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec

from pipelines.core.runtime import payshack_access
from pipelines.core.settings import Settings
from pipelines.loading.report import LoadReport
from pipelines.loading.runs import Load, open_load
from pipelines.loading.watermarks import completed_days, move_watermark, record_window_pass
from pipelines.sources.common.records import parse_instant, parse_payload
from pipelines.sources.payshack.client import PayShackClient, open_client
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS
from pipelines.sources.payshack.source import DayProgress, payshack_directory, payshack_window

HISTORY_DAYS_LIMIT = 3660

Progress = Callable[[LoadReport], None]


def load_payshack_feed(settings: Settings, *, progress: Progress | None = None) -> LoadReport:
    """Bring both flows and the directories up to date.

    Raises ConflictError when a feed is already running, else the SourceError, BrowserError or DatabaseError that
    stopped it; days that were finished before stay finished.
    """
    access = payshack_access(settings)
    with (
        open_load(settings, source="payshack", mode="feed", scope="look-back") as load,
        open_client(settings, access) as client,
    ):
        for flow in TRANSACTIONS:
            began = settings.clock()
            for day in _days_to_read(settings, load.url, client, flow):
                _load_day(load, client, flow, day, "feed", progress)
            load.report.watermarks[flow] = move_watermark(load.url, "payshack", flow, began, settings.clock())
        _load_directories(load, client, "feed")
        return load.report


def load_payshack_window(settings: Settings, day: date, *, progress: Progress | None = None) -> LoadReport:
    """Read one UTC created day of both flows again. May run beside the feed and other days."""
    access = payshack_access(settings)
    scope = day.isoformat()
    with (
        open_load(
            settings, source="payshack", mode="window", scope=scope, lock=f"load:payshack:window:{scope}"
        ) as load,
        open_client(settings, access) as client,
    ):
        for flow in TRANSACTIONS:
            _load_day(load, client, flow, day, "window", progress)
        return load.report


def _days_to_read(settings: Settings, url: str, client: PayShackClient, flow: str) -> Iterator[date]:
    """Oldest first: days never finished, then the look-back days, then today."""
    today = settings.clock().astimezone(UTC).date()
    done = completed_days(url, TRANSACTIONS[flow].table)
    first = _first_day(client, flow)
    if first is None:
        return
    look_back_from = today - timedelta(days=settings.payshack_lookback_days)
    for offset in range(min((today - first).days, HISTORY_DAYS_LIMIT) + 1):
        day = first + timedelta(days=offset)
        if day >= look_back_from or day not in done:
            yield day


def _first_day(client: PayShackClient, flow: str) -> date | None:
    """Created day of the oldest record: the last page of the unfiltered list, which is newest first."""
    total = client.listing(flow, page=1, limit=1).total_records
    for page in range(total, 0, -1):
        records = client.listing(flow, page=page, limit=1).transactions
        days = [created for raw in records if (created := _created(raw)) is not None]
        if days:
            return min(days).date()
    return None


def _created(raw: msgspec.Raw) -> datetime | None:
    payload = parse_payload(raw)
    return parse_instant(payload.get("createdAt")) if isinstance(payload, dict) else None


def _load_day(load: Load, client: PayShackClient, flow: str, day: date, mode: str, progress: Progress | None) -> None:
    clock = load.settings.clock
    read = DayProgress()
    load.commit(payshack_window(client, flow=flow, day=day, progress=read, clock=clock, load_mode=mode))
    load.report.pages += read.pages
    load.report.rows_read += read.rows
    record_window_pass(
        load.url,
        "payshack",
        TRANSACTIONS[flow].table,
        day,
        total=read.total,
        started_at=read.started_at or clock(),
        ended_at=clock(),
    )
    if progress:
        progress(load.report)


def _load_directories(load: Load, client: PayShackClient, mode: str) -> None:
    clock = load.settings.clock
    load.commit(*(payshack_directory(client, entity=entity, clock=clock, load_mode=mode) for entity in DIRECTORY_SPECS))
