"""PayShack as dlt resources: one UTC created day of a flow, one order, and the directories.

A listing is newest first and shifts while it is read: new rows push older ones on (seen twice), a removed or re-dated
one pulls one back (missed). A day is complete when the distinct ids that were read are as many as the provider's own
total, and that total was the same before and after. Otherwise the day is read again, at most `MAX_ROUNDS` times.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceUnavailable
from pipelines.sources.common.records import Provenance, build_page
from pipelines.sources.payshack.client import PAGE_SIZE, PayShackClient
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS

MAX_ROUNDS = 5


class _Identity(msgspec.Struct):
    txnId: Any = None
    transactionId: Any = None


_identity = msgspec.json.Decoder(_Identity)


@dataclass(slots=True, kw_only=True)
class DayProgress:
    """What reading one day has done. `total` is the provider's own count, equal before and after once `is_complete`."""

    pages: int = 0
    rows: int = 0
    total: int = 0
    rounds: int = 0
    is_complete: bool = False
    started_at: datetime | None = None
    ids: set[str] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)


def payshack_window(
    client: PayShackClient, *, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Any:
    """Every record of `flow` created on one UTC day, as a dlt resource of Arrow pages.

    Raises SourceUnavailable when the listing does not stand still within the bounded rounds; what was read is kept.
    """
    spec = TRANSACTIONS[flow]

    def pages() -> Iterator[pa.Table]:
        progress.started_at = clock()
        for _ in range(MAX_ROUNDS):
            progress.rounds += 1
            yield from _one_round(client, flow, day, progress, clock, load_mode)
            if progress.is_complete:
                return
        raise SourceUnavailable(
            f"PayShack's {flow} listing of {day} does not stand still: {len(progress.ids)} distinct records against a "
            f"total of {progress.total} after {MAX_ROUNDS} readings.",
            fix="nothing is lost; the next run reads the day again",
        )

    return _resource(spec.table, pages)


def _one_round(
    client: PayShackClient, flow: str, day: date, progress: DayProgress, clock: Clock, load_mode: str
) -> Iterator[pa.Table]:
    """Read the day from its first page to its end; complete when the count fits and the total did not move."""
    progress.ids.clear()
    number, total_before = 1, None
    while True:
        observed_at = clock()
        listing = client.day(flow, day, page=number)
        if total_before is None:
            total_before = listing.total_records
        fresh = _fresh(listing.transactions, progress)
        if fresh:
            progress.pages += 1
            progress.rows += len(fresh)
            yield build_page(
                fresh,
                spec=TRANSACTIONS[flow],
                provenance=Provenance(
                    observed_at=observed_at, load_mode=load_mode, load_scope=day.isoformat(), load_page=number
                ),
            )
        # Ends on an empty page, not on a short one; the total bounds the walk should the provider repeat its last page.
        if not listing.transactions or number * PAGE_SIZE >= listing.total_records:
            break
        number += 1
    progress.total = client.day(flow, day, page=1, limit=1).total_records if number > 1 else listing.total_records
    progress.is_complete = progress.total == total_before == len(progress.ids)


def _fresh(records: list[msgspec.Raw], progress: DayProgress) -> list[msgspec.Raw]:
    """Records not yet yielded in this read, in any round; ids are counted for this round."""
    fresh = []
    for raw in records:
        content = hash(bytes(raw))
        try:
            ids = _identity.decode(raw)
            identity = ids.txnId or ids.transactionId
        except (msgspec.DecodeError, UnicodeDecodeError):
            identity = None
        # The provider's total counts what has no id as well; its content stands in, or the day would never fit.
        progress.ids.add(str(identity) if identity else f"no id:{content}")
        if content not in progress.seen:
            progress.seen.add(content)
            fresh.append(raw)
    return fresh


def payshack_order(client: PayShackClient, *, flow: str, order_id: str, clock: Clock) -> Any:
    """All attempts of one order, whatever their day, as a dlt resource: how an open break is looked at again."""
    spec = TRANSACTIONS[flow]

    def pages() -> Iterator[pa.Table]:
        listing = client.listing(flow, page=1, orderId=order_id)
        if listing.transactions:
            provenance = Provenance(
                observed_at=clock(), load_mode="recheck", load_scope=f"orderId={order_id}", load_page=1
            )
            yield build_page(listing.transactions, spec=spec, provenance=provenance)

    return _resource(spec.table, pages)


def payshack_directory(client: PayShackClient, *, entity: str, clock: Clock, load_mode: str) -> Any:
    """All clients, resellers or service providers as a dlt resource of one Arrow page."""
    spec = DIRECTORY_SPECS[entity]

    def pages() -> Iterator[pa.Table]:
        records = client.directory(entity)
        provenance = Provenance(observed_at=clock(), load_mode=load_mode, load_scope=entity, load_page=1)
        yield build_page(records, spec=spec, provenance=provenance)

    return _resource(spec.table, pages)


def _resource(table: str, pages: Callable[[], Iterator[pa.Table]]) -> Any:
    return dlt.resource(pages, name=table, write_disposition="append")
