"""Reading Vima: the feed by update cursor, and one created day by create cursor; and both as dlt resources.

    GET /operation (100 rows) -> one pyarrow.Table per page, rows not seen before in this read

The cursor may be inclusive or exclusive, and rows may share an id across the edge of a page: so each request names the
id before the greatest one seen, and rows seen at that id are left out. A read ends when a page is empty or holds only
rows already seen, never because it is short.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceContractError, SourceUnavailable
from pipelines.sources.common.records import Provenance, build_page
from pipelines.sources.vima.client import PAGE_SIZE, VimaClient
from pipelines.sources.vima.schema import OPERATIONS, order_number

MAX_PAGES = 500_000
"""Of one read: fifty million operations. A cursor that goes on for longer is taken for one that never ends."""


@dataclass(slots=True, kw_only=True)
class ReadProgress:
    """What a read has done so far; `rows` are distinct.

    `complete_at` is when the request that found nothing new was sent, None until then.
    """

    pages: int = 0
    rows: int = 0
    cursor: int | None = None
    complete_at: datetime | None = None
    seen_at_cursor: set[tuple[str, int]] = field(default_factory=set)


@dataclass(slots=True)
class _Walk:
    """Follows one cursor. `order_field` is the id by which the pages are ordered and the cursor moves."""

    client: VimaClient
    order_field: str
    parameters: dict[str, str | int]
    progress: ReadProgress
    clock: Clock
    load_mode: str
    load_scope: str

    def tables(self) -> Iterator[pa.Table]:
        """Page by page, up to a request that finds nothing new."""
        for _ in range(MAX_PAGES):
            table = self._next_page()
            if table is None:
                return
            yield table
        raise SourceUnavailable(
            f"Vima's cursor {self.order_field} has not come to an end after {MAX_PAGES} pages.",
            fix="run it again; it goes on from here",
        )

    def _next_page(self) -> pa.Table | None:
        asked_at = self.clock()
        before = max((self.progress.cursor or 0) - 1, 0)
        page = self._asked(before)
        fresh, positions, greatest = self._fresh(page)
        if not fresh and self._begins_before_cursor(page):
            # Rows from before the cursor filled the page; only an inclusive cursor shows them, so nothing at the cursor
            # itself is skipped by going on from there.
            before = self.progress.cursor or 0
            page = self._asked(before)
            fresh, positions, greatest = self._fresh(page)
        if not fresh:
            self._refuse_to_be_stuck(page, greatest)
            self.progress.complete_at = asked_at
            return None
        self.progress.pages += 1
        self.progress.rows += len(fresh)
        self.progress.cursor = greatest
        return build_page(
            fresh,
            spec=OPERATIONS,
            provenance=Provenance(
                observed_at=asked_at,
                load_mode=self.load_mode,
                load_scope=self.load_scope or f"{self.order_field}>{before}",
                load_page=self.progress.pages,
            ),
            positions=positions,
        )

    def _asked(self, before: int) -> "list[_Keyed]":
        """The page from `before` on. One that holds earlier rows answers another question, as a stale cache would."""
        for _ in range(2):
            records = self.client.page(**self.parameters, **{f"from_{self.order_field}": str(before)})
            page = [(raw, *_identity(raw, self.order_field)) for raw in records]
            if min((order for _, _, order in page if order is not None), default=before) >= before:
                return page
        raise SourceContractError(
            f"Vima's cursor {self.order_field} is not obeyed: rows from before it came twice.",
            fix="check VIMA_BASE_URL; something between may answer with old pages",
        )

    def _fresh(self, page: "list[_Keyed]") -> tuple[list[msgspec.Raw], list[int | None], int]:
        """The records beyond the cursor, or at it but not seen; their order ids; the greatest order id, never back."""
        cursor = self.progress.cursor or 0
        seen = self.progress.seen_at_cursor
        greatest = max((order for _, _, order in page if order is not None), default=cursor)
        fresh, positions = [], []
        for raw, identity, order in page:
            # A record without an order id cannot be placed; it goes on to quarantine once.
            place = (identity, cursor if order is None else order)
            if place[1] >= cursor and place not in seen:
                fresh.append(raw)
                positions.append(order)
        at_end = {(identity, greatest) for _, identity, order in page if order is None or order == greatest}
        self.progress.seen_at_cursor = at_end if greatest > cursor else seen | at_end
        return fresh, positions, max(greatest, cursor)

    def _begins_before_cursor(self, page: "list[_Keyed]") -> bool:
        """Whether a full page holds a row from before the cursor."""
        orders = [order for _, _, order in page if order is not None]
        return len(page) >= PAGE_SIZE and min(orders, default=0) < (self.progress.cursor or 0)

    def _refuse_to_be_stuck(self, page: "list[_Keyed]", greatest: int) -> None:
        """A whole page of seen rows may hide rows behind it: that must not pass for the end."""
        if len(page) >= PAGE_SIZE and greatest <= (self.progress.cursor or 0):
            raise SourceContractError(
                f"Vima's cursor {self.order_field} does not move: {len(page)} rows share one id.",
                fix="ask Vima for ids that are unique, or for larger pages",
            )


_Keyed = tuple[msgspec.Raw, str, int | None]
"""A record with its identity and its order id, both read once."""


class _Ids(msgspec.Struct):
    """Only the ids: the rest of the record is skipped here and parsed once, when the page is built."""

    operation_id: Any = None
    operation_create_id: Any = None
    operation_update_id: Any = None


_ids = msgspec.json.Decoder(_Ids)


def _identity(raw: msgspec.Raw, order_field: str) -> tuple[str, int | None]:
    try:
        ids = _ids.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"?{hash(bytes(raw))}", None
    identity = f"?{hash(bytes(raw))}" if ids.operation_id is None else str(ids.operation_id)
    return identity, order_number(getattr(ids, order_field))


def feed_pages(client: VimaClient, *, progress: ReadProgress, clock: Clock) -> Iterator[pa.Table]:
    """Every operation created or changed from `progress.cursor` on, page by page."""
    return _Walk(client, "operation_update_id", {}, progress, clock, "feed", "").tables()


def window_pages(client: VimaClient, *, day: date, progress: ReadProgress, clock: Clock) -> Iterator[pa.Table]:
    """Every operation created on one UTC day, in its current state, page by page."""
    scope = day.isoformat()
    return _Walk(client, "operation_create_id", {"date": scope}, progress, clock, "window", scope).tables()


def vima_resource(pages: Callable[[], Iterator[pa.Table]]) -> Any:
    """Pages as the dlt resource that a load commits."""
    return dlt.resource(pages, name=OPERATIONS.table, write_disposition="append")
