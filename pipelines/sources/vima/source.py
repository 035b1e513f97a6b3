"""Vima as dlt resources: the feed by update cursor and one created day by create cursor.

    GET /operation (100 rows) -> one pyarrow.Table per page, rows not seen before in this read

A read ends when a page is empty or holds only rows already seen, never because it is short. Bounded by `max_pages`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import dlt
import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceContractError
from pipelines.sources.common.records import Provenance, build_page
from pipelines.sources.vima.client import PAGE_SIZE, VimaClient
from pipelines.sources.vima.schema import OPERATIONS, order_number


@dataclass(slots=True, kw_only=True)
class ReadProgress:
    """What a read has done so far. `complete_at` is when the request that found nothing new was sent."""

    pages: int = 0
    rows: int = 0
    cursor: int | None = None
    complete_at: datetime | None = None


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
    seen_at_cursor: set[tuple[str, int]] = field(default_factory=set)

    def tables(self, max_pages: int) -> Iterator[pa.Table]:
        for _ in range(max_pages):
            asked_at = self.clock()
            cursor = self.progress.cursor
            page = self.client.page(**self.parameters, **{f"from_{self.order_field}": str(cursor or 0)})
            fresh, greatest = self._fresh(page)
            if not fresh:
                self._refuse_to_be_stuck(page, greatest)
                self.progress.complete_at = asked_at
                return
            self.progress.pages += 1
            self.progress.rows += len(fresh)
            self.progress.cursor = max(greatest, cursor or 0)
            yield build_page(
                fresh,
                spec=OPERATIONS,
                provenance=Provenance(
                    observed_at=asked_at,
                    load_mode=self.load_mode,
                    load_scope=self.load_scope or f"{self.order_field}>{cursor or 0}",
                    load_page=self.progress.pages,
                ),
            )

    def _fresh(self, page: list[msgspec.Raw]) -> tuple[list[msgspec.Raw], int]:
        """The records of the page beyond the cursor or at it but not seen, and the greatest order id of the page."""
        cursor = self.progress.cursor or 0
        keyed = [(raw, *_identity(raw, self.order_field)) for raw in page]
        greatest = max((order for _, _, order in keyed if order is not None), default=cursor)
        fresh = []
        for raw, identity, order in keyed:
            # A record without an order id cannot be placed; it goes on to quarantine once.
            place = (identity, cursor if order is None else order)
            if place[1] >= cursor and place not in self.seen_at_cursor:
                fresh.append(raw)
        at_end = {(identity, greatest) for _, identity, order in keyed if order is None or order == greatest}
        self.seen_at_cursor = at_end if greatest > cursor else self.seen_at_cursor | at_end
        return fresh, greatest

    def _refuse_to_be_stuck(self, page: list[msgspec.Raw], greatest: int) -> None:
        """A whole page of seen rows at the cursor itself may hide rows behind it: that must not pass for the end."""
        if len(page) >= PAGE_SIZE and greatest <= (self.progress.cursor or 0):
            raise SourceContractError(
                f"Vima's cursor {self.order_field} does not move: {len(page)} rows share one id.",
                fix="read that day in window mode, and ask Vima for unique ids",
            )


class _Ids(msgspec.Struct):
    """Only the ids: the rest of the record is skipped here and parsed once, when the page is built."""

    operation_id: Any = None
    operation_create_id: Any = None
    operation_update_id: Any = None


_ids = msgspec.json.Decoder(_Ids)


def _identity(raw: msgspec.Raw, order_field: str) -> tuple[str, int | None]:
    try:
        ids = _ids.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return bytes(raw).decode("utf-8", errors="replace")[:200], None
    return str(ids.operation_id), order_number(getattr(ids, order_field))


def vima_feed(client: VimaClient, *, progress: ReadProgress, clock: Clock, max_pages: int) -> Any:
    """Every operation created or changed after `progress.cursor`, as a dlt resource of Arrow pages.

    Stops after `max_pages`; `progress.complete_at` stays None then, and the next call continues from `progress.cursor`.
    """
    walk = _Walk(client, "operation_update_id", {}, progress, clock, "feed", "")
    return _resource(lambda: walk.tables(max_pages))


def vima_window(client: VimaClient, *, day: date, progress: ReadProgress, clock: Clock, max_pages: int) -> Any:
    """Every operation created on one UTC day, in its current state, as a dlt resource of Arrow pages."""
    scope = day.isoformat()
    walk = _Walk(client, "operation_create_id", {"date": scope}, progress, clock, "window", scope)
    return _resource(lambda: walk.tables(max_pages))


def _resource(pages: Callable[[], Iterator[pa.Table]]) -> Any:
    return dlt.resource(pages, name=OPERATIONS.table, write_disposition="append")
