"""Loading PayShack: the first time its whole history day by day, then look-back days and today, directories each time.

    feed     days never finished, look-back days, today; open breaks by orderId; directories -> watermark
    window   one UTC created day, asked for by a person
    sweep    the last PAYSHACK_SWEEP_DAYS, each day once a night: refunds and chargebacks come weeks later

There is no cursor and no "changed since". A pass over a flow is complete when every day from the first record's to
the newest's has once been read to its end, and the look-back days and today in this pass; its start is then the
watermark. A first load that dies goes on at the day where it stopped, since finished days are in raw.window_passes.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain

import msgspec
import pyarrow as pa

from pipelines.core.errors import SourceContractError, SourceUnavailable
from pipelines.core.runtime import database_url, payshack_access
from pipelines.core.settings import Settings
from pipelines.loading.balances import BalanceWatch
from pipelines.loading.days import DayOutcome, load_days
from pipelines.loading.rechecks import note_rechecked, orders_to_recheck
from pipelines.loading.report import LoadReport, Progress
from pipelines.loading.runs import Load, open_load
from pipelines.loading.watermarks import completed_days, days_left, move_watermark, record_window_pass
from pipelines.sources.common.pace import Pace
from pipelines.sources.common.records import RecordProblem, parse_instant, parse_payload
from pipelines.sources.payshack.client import PayShackClient, open_client
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS
from pipelines.sources.payshack.source import (
    MAX_ROUNDS,
    DayProgress,
    day_pages,
    directory_pages,
    order_pages,
    payshack_resource,
)

HISTORY_DAYS_LIMIT = 3660
AHEAD = timedelta(days=2)
"""How far the provider's clock may be ahead of ours before its newest records are left for a later day."""
SEARCH_PAGES = 20
ORDERS_PER_CHUNK = 50


class _Unsteady(SourceUnavailable):
    """A day's listing did not stand still. What was read of it is committed, and other days can be read."""


def load_payshack_feed(settings: Settings, *, progress: Progress | None = None) -> LoadReport:
    """Bring both flows and the directories up to date.

    Raises ConflictError when a feed is already running, else the SourceError, BrowserError or DatabaseError that
    stopped it; days that were finished before stay finished. A day whose listing does not stand still is raised only
    after everything else has been read.
    """
    access = payshack_access(settings)
    unsteady: list[_Unsteady] = []
    with (
        open_load(settings, source="payshack", mode="feed", scope="look-back") as load,
        open_client(settings, access) as client,
    ):
        for flow in TRANSACTIONS:
            began = settings.clock()
            failed_before = len(unsteady)
            for day in _days_to_read(settings, load.url, client, flow):
                try:
                    _load_day(load, client, flow, day, progress)
                except _Unsteady as error:
                    unsteady.append(error)
            if len(unsteady) == failed_before:
                now = settings.clock()
                load.report.watermarks[flow] = move_watermark(load.url, "payshack", flow, began, now)
            _recheck(load, client, flow)
        _load_directories(load, client)
        if unsteady:
            raise unsteady[0]
        return load.report


def load_payshack_window(
    settings: Settings, day: date, *, progress: Progress | None = None, pace: Pace | None = None
) -> LoadReport:
    """Read one UTC created day of both flows again. May run beside the feed and other days."""
    access = payshack_access(settings)
    with (
        open_load(settings, source="payshack", mode="window", scope=day.isoformat()) as load,
        open_client(settings, access, pace=pace) as client,
    ):
        for flow in TRANSACTIONS:
            _load_day(load, client, flow, day, progress)
        return load.report


def load_payshack_windows(
    settings: Settings, days: Sequence[date], *, progress: Progress | None = None
) -> Iterator[DayOutcome]:
    """Load several UTC created days, PAYSHACK_PARALLEL_DAYS at once. `progress` may be called from several threads."""
    pace = Pace(payshack_access(settings).page_pause_seconds)
    return load_days(
        days,
        lambda day: load_payshack_window(settings, day, progress=progress, pace=pace),
        workers=settings.payshack_parallel_days,
    )


def load_payshack_sweep(settings: Settings, *, since: datetime, progress: Progress | None = None) -> LoadReport:
    """Read again every one of the last PAYSHACK_SWEEP_DAYS that has not been read since `since`, newest first.

    Started again after an interruption, with the same `since`, it goes on with the days that are left. Raises like the
    feed, and like it goes on beyond a day that does not stand still.
    """
    access = payshack_access(settings)
    unsteady: list[_Unsteady] = []
    with (
        open_load(settings, source="payshack", mode="sweep", scope=f"{settings.payshack_sweep_days} days") as load,
        open_client(settings, access) as client,
    ):
        for flow, spec in TRANSACTIONS.items():
            for day in days_left(load.url, spec.table, _swept_days(settings), since):
                try:
                    _load_day(load, client, flow, day, progress)
                except _Unsteady as error:
                    unsteady.append(error)
        if unsteady:
            raise unsteady[0]
        return load.report


def days_to_sweep(settings: Settings, since: datetime) -> int:
    """How many days of either flow a sweep that began at `since` has still to read. Raises DatabaseError."""
    url, days = database_url(settings), _swept_days(settings)
    return sum(len(days_left(url, spec.table, days, since)) for spec in TRANSACTIONS.values())


def _swept_days(settings: Settings) -> list[date]:
    today = settings.clock().astimezone(UTC).date()
    return [today - timedelta(days=age) for age in range(settings.payshack_sweep_days + 1)]


def _days_to_read(settings: Settings, url: str, client: PayShackClient, flow: str) -> Iterator[date]:
    """Oldest first: days never finished, then the look-back days, then today."""
    today = settings.clock().astimezone(UTC).date()
    look_back_from = today - timedelta(days=settings.payshack_lookback_days)
    first, last = _first_and_last_day(client, flow)
    if first is None or last is None:
        return
    done = completed_days(url, TRANSACTIONS[flow].table)
    begin = max(first, today - timedelta(days=HISTORY_DAYS_LIMIT))
    end = max(today, min(last, today + AHEAD))
    # One record of a wrong century must not cost a request for each of its days.
    outliers = [first] if first < begin else []
    for day in chain(outliers, (begin + timedelta(days=age) for age in range((end - begin).days + 1))):
        if day >= look_back_from or day not in done:
            yield day


def _first_and_last_day(client: PayShackClient, flow: str) -> tuple[date | None, date | None]:
    """Created days of the oldest and the newest record: the ends of the unfiltered list, which is newest first."""
    newest = client.listing(flow, page=1, limit=1)
    if newest.total_records == 0:
        return None, None
    ends = []
    for pages in (range(1, SEARCH_PAGES + 1), range(newest.total_records, newest.total_records - SEARCH_PAGES, -1)):
        created = (_created_on(client, flow, page) for page in pages if page > 0)
        ends.append(next((day for day in created if day is not None), None))
    last, first = ends
    if first is None or last is None:
        raise SourceContractError(
            f"PayShack's {flow} records at the end of its list have no creation time that can be read.",
            fix="look at them in the portal; the days to read cannot be told without it",
        )
    return first, last


def _created_on(client: PayShackClient, flow: str, page: int) -> date | None:
    """Created day of the only record of a page of one; None where there is none that can be read."""
    for raw in client.listing(flow, page=page, limit=1).transactions:
        try:
            payload = parse_payload(raw)
            created = parse_instant(payload.get("createdAt")) if isinstance(payload, dict) else None
        except (RecordProblem, msgspec.MsgspecError, ValueError):
            continue
        if created is not None:
            return created.date()
    return None


def _load_day(load: Load, client: PayShackClient, flow: str, day: date, progress: Progress | None) -> None:
    """Raises _Unsteady when the day is not complete, or what the reading was stopped by; what was read is committed."""
    clock = load.settings.clock
    mode = load.report.mode
    read = DayProgress()
    pages = partial(day_pages, client, flow=flow, day=day, progress=read, clock=clock, load_mode=mode)
    try:
        load.commit(payshack_resource(TRANSACTIONS[flow].table, pages))
    finally:
        load.report.pages += read.pages
        load.report.rows_read += read.rows
    if progress:
        progress(load.report)
    if not read.is_complete:
        raise _Unsteady(
            f"PayShack's {flow} listing of {day} does not stand still: {read.found} distinct records against a total "
            f"of {read.total} after {MAX_ROUNDS} readings.",
            fix="nothing is lost; the next run reads the day again",
        )
    record_window_pass(
        load.url,
        "payshack",
        TRANSACTIONS[flow].table,
        day,
        total=read.total,
        distinct=read.found,
        started_at=read.started_at or clock(),
        ended_at=clock(),
    )


def _recheck(load: Load, client: PayShackClient, flow: str) -> None:
    """Ask again for orders with an open break or in flight that the look-back days do not show."""
    settings = load.settings
    look_back = settings.clock().astimezone(UTC) - timedelta(days=settings.payshack_lookback_days)
    due = orders_to_recheck(load.url, "payshack", flow, older_than=look_back.date())
    load.report.orders_due += len(due)
    for begin in range(0, min(len(due), settings.payshack_recheck_limit), ORDERS_PER_CHUNK):
        asked = due[begin : min(begin + ORDERS_PER_CHUNK, settings.payshack_recheck_limit)]
        found = order_pages(client, flow=flow, order_ids=asked, clock=settings.clock)
        load.commit(payshack_resource(TRANSACTIONS[flow].table, partial(_counted, load, found)))
        note_rechecked(load.url, "payshack", flow, asked, settings.clock())
        load.report.orders_rechecked += len(asked)


def _load_directories(load: Load, client: PayShackClient) -> None:
    mode, clock, balances = load.report.mode, load.settings.clock, BalanceWatch()

    def pages(entity: str) -> Iterator[pa.Table]:
        found = _counted(load, directory_pages(client, entity=entity, clock=clock, load_mode=mode))
        return balances.passing(found) if entity == "clients" else found

    load.commit(*(payshack_resource(spec.table, partial(pages, entity)) for entity, spec in DIRECTORY_SPECS.items()))
    balances.keep(load.url)


def _counted(load: Load, pages: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The pages, with their rows counted as read."""
    for page in pages:
        load.report.rows_read += page.num_rows
        yield page
