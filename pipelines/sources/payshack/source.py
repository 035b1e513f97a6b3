"""Reading PayShack: one UTC created day of a flow, some orders, and the directories; and all as dlt resources.

A listing is newest first and shifts while it is read: new rows push older ones on (seen twice), a removed or re-dated
one pulls one back (missed). A reading of a day therefore looks at the records that existed when it began, those up to
the newest one of its first page:

    complete  =  their distinct ids  =  the provider's total before  =  its total after, less what came since

A day that has ended gets nothing since: there a record that was not shown before is no newcomer but was missed. Only
the last round believes otherwise, for a provider whose clock is behind. Today ends as well, however busy it is. Else
the day is read again, at most `MAX_ROUNDS` times. What was read is handed over in any case; `DayProgress` tells whether
it is all.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.sources.common.records import Provenance, RecordProblem, build_page, parse_instant
from pipelines.sources.payshack.client import PAGE_SIZE, Listing, PayShackClient
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS

MAX_ROUNDS = 5
SLACK = 10 * PAGE_SIZE
"""How many records may come in while a day is read, beside as many as it had, before that reading is given up."""


class _Facts(msgspec.Struct, rename="camel"):
    """What telling records apart takes: the rest is skipped here and parsed once, when the page is built."""

    txn_id: Any = None
    transaction_id: Any = None
    created_at: Any = None


_facts = msgspec.json.Decoder(_Facts)


@dataclass(slots=True, kw_only=True)
class DayProgress:
    """What reading one day has done. `total` counts the records that existed when the last round began."""

    pages: int = 0
    rows: int = 0
    total: int = 0
    found: int = 0
    rounds: int = 0
    is_complete: bool = False
    started_at: datetime | None = None
    seen: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Round:
    """One reading of a day, from its first page to its end. Nothing new can come to one that `is_over`."""

    is_over: bool = False
    total_before: int | None = None
    newest: datetime | None = None
    created: dict[str, datetime | None] = field(default_factory=dict)

    def note(self, listing: Listing) -> None:
        facts = [_facts_of(raw) for raw in listing.transactions]
        if self.total_before is None:
            self.total_before = listing.total_records
            self.newest = max((created for _, created in facts if created is not None), default=None)
        self.created.update(facts)

    def is_newer(self, created: datetime | None) -> bool:
        """Whether a record came since the reading began: it is newer than any of those that were there."""
        return created is not None and not self.is_over and (self.newest is None or created > self.newest)

    @property
    def found(self) -> int:
        return sum(not self.is_newer(created) for created in self.created.values())


def day_pages(
    client: PayShackClient, *, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Iterator[pa.Table]:
    """Every record of `flow` created on one UTC day, page by page."""
    progress.started_at = clock()
    is_outrun = False
    while progress.rounds < MAX_ROUNDS and not progress.is_complete and not is_outrun:
        progress.rounds += 1
        is_outrun = yield from _one_round(client, flow, day, progress, clock, load_mode)


def _one_round(
    client: PayShackClient, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Generator[pa.Table, None, bool]:
    """Returns whether it was given up because more records come in than are read."""
    began = progress.started_at or clock()
    reading = _Round(is_over=began.astimezone(UTC).date() > day and progress.rounds < MAX_ROUNDS)
    number = 0
    while True:
        number += 1
        observed_at = clock()
        listing = client.day(flow, day, page=number)
        reading.note(listing)
        fresh = _fresh(listing.transactions, progress)
        if fresh:
            progress.pages += 1
            progress.rows += len(fresh)
            provenance = Provenance(
                observed_at=observed_at, load_mode=load_mode, load_scope=day.isoformat(), load_page=number
            )
            yield build_page(fresh, spec=TRANSACTIONS[flow], provenance=provenance)
        progress.total = reading.total_before or 0
        # Ends on an empty page, not on a short one; the total bounds the walk should the provider repeat its last page.
        if not listing.transactions or number * PAGE_SIZE >= listing.total_records:
            break
        if number * PAGE_SIZE >= 2 * progress.total + SLACK:
            progress.found = reading.found
            return True
    progress.found = reading.found
    # A single page is one moment; more than one need a look whether the list is still the one that was read.
    came_in = listing.total_records - progress.total
    total_after = progress.total if number == 1 else _total_after(client, flow, day, reading, came_in)
    progress.is_complete = progress.found == progress.total == total_after
    return False


def _total_after(client: PayShackClient, flow: str, day: date, reading: _Round, came_in: int) -> int | None:
    """How many records now exist besides those that came since; None where they are not to be found.

    One answer tells: its total, less the place in the list of the first record that was there before. `came_in` is by
    how much the total has grown so far, hence about where to look.
    """
    first = max(0, came_in) // PAGE_SIZE + 1
    for number in range(first, first + SLACK // PAGE_SIZE):
        listing = client.day(flow, day, page=number)
        for place, raw in enumerate(listing.transactions):
            if not reading.is_newer(_facts_of(raw)[1]):
                return listing.total_records - (number - 1) * PAGE_SIZE - place
        if len(listing.transactions) < PAGE_SIZE:
            return 0
    return None


def _facts_of(raw: msgspec.Raw) -> tuple[str, datetime | None]:
    try:
        facts = _facts.decode(raw)
        identity = facts.txn_id or facts.transaction_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"?{hash(bytes(raw))}", None
    try:
        created = parse_instant(facts.created_at)
    except RecordProblem:
        created = None
    return str(identity) if identity else f"?{hash(bytes(raw))}", created


def _fresh(records: list[msgspec.Raw], progress: DayProgress) -> list[msgspec.Raw]:
    """Records not yet handed over as they are now, in any round."""
    fresh = []
    for raw in records:
        content = hash(bytes(raw))
        if content not in progress.seen:
            progress.seen.add(content)
            fresh.append(raw)
    return fresh


def order_pages(client: PayShackClient, *, flow: str, order_ids: Iterable[str], clock: Clock) -> Iterator[pa.Table]:
    """All attempts of some orders, whatever their day: how open breaks are looked at again."""
    for order_id in order_ids:
        number = 0
        while True:
            number += 1
            observed_at = clock()
            listing = client.listing(flow, page=number, orderId=order_id)
            if listing.transactions:
                provenance = Provenance(
                    observed_at=observed_at, load_mode="recheck", load_scope="orderId", load_page=number
                )
                yield build_page(listing.transactions, spec=TRANSACTIONS[flow], provenance=provenance)
            if not listing.transactions or number * PAGE_SIZE >= listing.total_records:
                break


def directory_pages(client: PayShackClient, *, entity: str, clock: Clock, load_mode: str) -> Iterator[pa.Table]:
    """All clients, resellers or service providers, as one page."""
    observed_at = clock()
    records = client.directory(entity)
    provenance = Provenance(observed_at=observed_at, load_mode=load_mode, load_scope=entity, load_page=1)
    yield build_page(records, spec=DIRECTORY_SPECS[entity], provenance=provenance)


def payshack_resource(table: str, pages: Callable[[], Iterator[pa.Table]]) -> Any:
    """Pages as the dlt resource that a load commits."""
    # Behind a function without parameters: dlt would take those of a partial for settings to be filled in.
    return dlt.resource(lambda: pages(), name=table, write_disposition="append")
