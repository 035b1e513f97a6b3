"""PayShack as dlt resources: one UTC created day of a flow, some orders, and the directories.

A listing is newest first and shifts while it is read: new rows push older ones on (seen twice), a removed or re-dated
one pulls one back (missed). A reading of a day therefore looks at the records that existed when it began, those up to
the newest one of its first page:

    complete  =  their distinct ids  =  the provider's total before  =  its total after, less what came since

A day that has ended gets nothing since, and today ends as well, however busy it is. Otherwise the day is read again, at
most `MAX_ROUNDS` times. What was read is handed over in any case; `DayProgress` tells whether it is all, and what has
stopped it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceError
from pipelines.sources.common.records import Provenance, RecordProblem, build_page, parse_instant
from pipelines.sources.payshack.client import PAGE_SIZE, Listing, PayShackClient
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS

MAX_ROUNDS = 5


class _Facts(msgspec.Struct, rename="camel"):
    """What telling records apart takes: the rest is skipped here and parsed once, when the page is built."""

    txn_id: Any = None
    transaction_id: Any = None
    created_at: Any = None


_facts = msgspec.json.Decoder(_Facts)


@dataclass(slots=True, kw_only=True)
class DayProgress:
    """What reading one day has done. `total` counts the records that existed when the last round began.

    `failure` is what stopped it after its first page; the records up to there have been handed over.
    """

    pages: int = 0
    rows: int = 0
    total: int = 0
    found: int = 0
    rounds: int = 0
    is_complete: bool = False
    started_at: datetime | None = None
    failure: SourceError | None = None
    seen: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Round:
    """One reading of a day, from its first page to its end."""

    total_before: int | None = None
    newest: datetime | None = None
    created: dict[str, datetime | None] = field(default_factory=dict)

    def note(self, listing: Listing) -> None:
        facts = [_facts_of(raw) for raw in listing.transactions]
        if self.total_before is None:
            self.total_before = listing.total_records
            self.newest = max((created for _, created in facts if created is not None), default=None)
        self.created.update(facts)

    def came_since(self, facts: Iterable[tuple[str, datetime | None]]) -> set[str]:
        """Ids of records newer than any that was there when the reading began."""
        return {
            identity
            for identity, created in facts
            if created is not None and (self.newest is None or created > self.newest)
        }

    @property
    def found(self) -> int:
        return len(self.created) - len(self.came_since(self.created.items()))


def payshack_window(
    client: PayShackClient, *, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Any:
    """Every record of `flow` created on one UTC day, as a dlt resource of Arrow pages."""

    def pages() -> Iterator[pa.Table]:
        progress.started_at = clock()
        while progress.rounds < MAX_ROUNDS and not progress.is_complete:
            progress.rounds += 1
            try:
                yield from _one_round(client, flow, day, progress, clock, load_mode)
            except SourceError as error:
                if not progress.pages:
                    raise
                progress.failure = error
                return

    return _resource(TRANSACTIONS[flow].table, pages)


def _one_round(
    client: PayShackClient, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Iterator[pa.Table]:
    reading = _Round()
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
        # Ends on an empty page, not on a short one; the total bounds the walk should the provider repeat its last page.
        if not listing.transactions or number * PAGE_SIZE >= listing.total_records:
            break
    progress.total = reading.total_before or 0
    progress.found = reading.found
    # A single page is one moment; more than one need a look whether the list is still the one that was read.
    total_after = progress.total if number == 1 else _total_after(client, flow, day, reading)
    progress.is_complete = progress.found == progress.total == total_after


def _total_after(client: PayShackClient, flow: str, day: date, reading: _Round) -> int:
    """The provider's total now, less the records that came since the reading began."""
    number, since = 0, set[str]()
    while True:
        number += 1
        listing = client.day(flow, day, page=number)
        newer = reading.came_since(_facts_of(raw) for raw in listing.transactions)
        since |= newer
        if len(newer) < PAGE_SIZE:
            return listing.total_records - len(since)


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


def payshack_orders(client: PayShackClient, *, flow: str, order_ids: Iterable[str], clock: Clock) -> Any:
    """All attempts of some orders, whatever their day, as a dlt resource: how open breaks are looked at again."""
    spec = TRANSACTIONS[flow]

    def pages() -> Iterator[pa.Table]:
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
                    yield build_page(listing.transactions, spec=spec, provenance=provenance)
                if not listing.transactions or number * PAGE_SIZE >= listing.total_records:
                    break

    return _resource(spec.table, pages)


def payshack_directory(client: PayShackClient, *, entity: str, clock: Clock, load_mode: str) -> Any:
    """All clients, resellers or service providers as a dlt resource of one Arrow page."""
    spec = DIRECTORY_SPECS[entity]

    def pages() -> Iterator[pa.Table]:
        observed_at = clock()
        records = client.directory(entity)
        provenance = Provenance(observed_at=observed_at, load_mode=load_mode, load_scope=entity, load_page=1)
        yield build_page(records, spec=spec, provenance=provenance)

    return _resource(spec.table, pages)


def _resource(table: str, pages: Callable[[], Iterator[pa.Table]]) -> Any:
    return dlt.resource(pages, name=table, write_disposition="append")
