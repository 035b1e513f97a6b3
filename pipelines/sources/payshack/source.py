"""PayShack as dlt resources: one created day of a flow, one order, and the three directories.

    client -> pages -> pyarrow.Table per page, named after the raw table

Every resource is bounded: a day by its own total, an order and a directory by their lists. Nothing here logs in or
decides what to read; pipelines/loading does.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceContractError
from pipelines.sources.common.records import Provenance, RecordProblem, build_page, parse_instant
from pipelines.sources.payshack.client import PAGE_SIZE, PayShackClient
from pipelines.sources.payshack.schema import ENTITY_SPECS, FLOW_SPECS, Entity, Flow
from pipelines.sources.payshack.window import DayWindow, WindowProgress, identity

MAX_ORDER_PAGES = 50


class WindowRead:
    """A day read in several dlt runs: each `resource(max_pages)` goes on where the one before stopped.

    `progress.is_complete` says when the day is done; a run that yields nothing more leaves it set.
    """

    def __init__(
        self, client: PayShackClient, *, flow: Flow, day: date, clock: Clock, load_mode: str = "window"
    ) -> None:
        self.progress = WindowProgress()
        self._name = FLOW_SPECS[flow].table
        self._tables = DayWindow(
            client=client, flow=flow, day=day, clock=clock, progress=self.progress, load_mode=load_mode
        ).tables()

    def resource(self, *, max_pages: int) -> Any:
        """The next `max_pages` tables at most, as a dlt resource."""
        return _resource(lambda: islice(self._tables, max_pages), self._name)


def payshack_window(
    client: PayShackClient, *, flow: Flow, day: date, clock: Clock, load_mode: str = "window"
) -> WindowRead:
    """Every pay-in or pay-out created on one UTC day, in its current state."""
    return WindowRead(client, flow=flow, day=day, clock=clock, load_mode=load_mode)


def payshack_order(client: PayShackClient, *, flow: Flow, order_id: str, clock: Clock) -> Any:
    """Every attempt of one order, whatever its day: how a late change of an old payment is seen."""

    def tables() -> Iterator[pa.Table]:
        seen: set[bytes] = set()
        for page in range(1, MAX_ORDER_PAGES + 1):
            observed_at = clock()
            listing = client.transactions(flow, page=page, order_id=order_id)
            fresh = [raw for raw in listing.records if identity(raw) not in seen]
            seen.update(identity(raw) for raw in fresh)
            if fresh:
                yield _page(fresh, FLOW_SPECS[flow], observed_at, "recheck", f"order:{order_id}", page)
            if not listing.records or page * listing.per_page >= listing.total:
                return
        raise SourceContractError(
            f"One order has more than {MAX_ORDER_PAGES * PAGE_SIZE} {flow} attempts.",
            fix="check in the portal whether the orderId filter works",
        )

    return _resource(tables, FLOW_SPECS[flow].table)


def payshack_directory(client: PayShackClient, *, entity: Entity, clock: Clock) -> Any:
    """All clients, resellers or service providers as they are now. A changed balance is a new version."""

    def tables() -> Iterator[pa.Table]:
        observed_at = clock()
        records = client.directory(entity)
        for start in range(0, len(records), PAGE_SIZE):
            part = records[start : start + PAGE_SIZE]
            yield _page(part, ENTITY_SPECS[entity], observed_at, "feed", entity, start // PAGE_SIZE + 1)

    return _resource(tables, ENTITY_SPECS[entity].table)


def first_day(client: PayShackClient, *, flow: Flow) -> date | None:
    """UTC day of the flow's oldest record, from the last page of the whole list; None when there is none."""
    total = client.transactions(flow, limit=1).total
    # A row removed meanwhile can empty the last page; the one before it then holds the oldest.
    for page in (-(-total // PAGE_SIZE), total // PAGE_SIZE):
        if page < 1:
            continue
        created = [_created(raw) for raw in client.transactions(flow, page=page).records]
        known = [instant for instant in created if instant is not None]
        if known:
            return min(known).astimezone(UTC).date()
    return None


class _Created(msgspec.Struct):
    createdAt: Any = None


_created_field = msgspec.json.Decoder(_Created)


def _created(raw: msgspec.Raw) -> datetime | None:
    try:
        return parse_instant(_created_field.decode(raw).createdAt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RecordProblem):
        return None


def _page(
    records: list[msgspec.Raw], spec: Any, observed_at: datetime, load_mode: str, load_scope: str, page: int
) -> pa.Table:
    provenance = Provenance(observed_at=observed_at, load_mode=load_mode, load_scope=load_scope, load_page=page)
    return build_page(records, spec=spec, provenance=provenance)


def _resource(tables: Callable[[], Iterator[pa.Table]], name: str) -> Any:
    return dlt.resource(tables, name=name, write_disposition="append")
