"""The world as each provider lists it: Vima by cursor or created day, PayShack newest first in pages."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox import facts, payshack_records
from pipelines.sandbox.moments import to_millis
from pipelines.sandbox.vima_records import STATUS_WORDS, render_operations
from pipelines.sandbox.world import NEVER, Record, World, event_id

SCAN = 1024


class VimaBooks:
    """Operations in their current version."""

    def __init__(self, world: World) -> None:
        self._world = world

    def changed(
        self,
        *,
        now: datetime,
        after: int,
        inclusive: bool,
        count: int,
        project: str | None = None,
        status: str | None = None,
    ) -> list[bytes]:
        """Operations by update id, from the one after the cursor (or the cursor's own)."""
        millis = self._world.reach(now)
        events, table = self._world.events(), self._world.table("vima")
        start = int(np.searchsorted(events.update_id, after, side="left" if inclusive else "right"))
        found: list[Record] = []
        while len(found) < count and start < len(events.row) and events.at[start] <= millis:
            part = slice(start, start + SCAN)
            current = (events.at[part] <= millis) & (events.until[part] > millis)
            for rows in _portions(events.row[part][current], count):
                found += [record for record in table.at(rows, millis) if _fits(record, project, status)]
                if len(found) >= count:
                    break
            start += SCAN
        return render_operations(self._world.seed, found[:count], now)

    def created(
        self,
        *,
        now: datetime,
        after: int,
        inclusive: bool,
        count: int,
        first_day: date | None,
        last_day: date | None,
        descending: bool = False,
        project: str | None = None,
        status: str | None = None,
    ) -> list[bytes]:
        """Operations by creation id, of the given UTC created days."""
        millis = self._world.reach(now)
        table = self._world.table("vima")
        low, high = _range(table.created, millis, first_day, last_day)
        ids = event_id(table.created[low:high], table.case[low:high].astype(np.int64), table.slot[low:high])
        order = np.argsort(ids)
        if descending:
            rows = order[::-1]
        else:
            rows = order[int(np.searchsorted(ids[order], after, side="left" if inclusive else "right")) :]
        found: list[Record] = []
        for portion in _portions(low + rows, count):
            found += [
                record
                for record in table.at(portion, millis)
                # A record without a creation time is in no day.
                if not (first_day and "no_created" in record.slot.traits) and _fits(record, project, status)
            ]
            if len(found) >= count:
                break
        return render_operations(self._world.seed, found[:count], now)


class PayShackBooks:
    """Pay-ins, pay-outs and directories; what payshack_server asks of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def payshack_page(
        self,
        flow: str,
        *,
        now: datetime,
        page: int,
        limit: int,
        date_from: date | None,
        date_to: date | None,
        status: str | None,
        order_id: str | None,
        transaction_id: str | None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Records of one page, newest first, and the total of the filter."""
        millis = self._world.reach(now)
        name = f"payshack:{flow}"
        table = self._world.table(name)
        low, high = _range(table.created, millis, date_from, date_to)
        if order_id is None and transaction_id is None and status is None:
            newest, oldest = high - (page - 1) * limit, high - page * limit
            records = table.at(range(newest - 1, max(oldest, low) - 1, -1), millis)
            return self._rendered(flow, records, millis), high - low
        matching = self._matching(flow, low, high, millis, status, order_id, transaction_id)
        return self._rendered(flow, matching[(page - 1) * limit : page * limit], millis), len(matching)

    def payshack_directory(self, entity: str, *, now: datetime) -> list[dict[str, Any]]:
        """All clients, resellers or service_providers."""
        if entity == "clients":
            return payshack_records.clients(self._world.seed, now)
        return payshack_records.resellers() if entity == "resellers" else payshack_records.service_providers()

    def payshack_totals(self, now: datetime) -> dict[str, Any]:
        """Today's pay-ins by UTC day."""
        millis = self._world.reach(now)
        table = self._world.table("payshack:payin")
        today = now.astimezone(UTC).date()
        low, high = _range(table.created, millis, today, today)
        records = table.at(range(low, high), millis)
        paid = [record for record in records if record.status_class == "S"]
        return {
            "totalTransactions": len(records),
            "successTransactions": len(paid),
            "failedTransactions": sum(record.status_class == "F" for record in records),
            "successAmount": sum(facts.money(self._world.seed, record).paid or 0 for record in paid) / 100,
        }

    def _matching(
        self,
        flow: str,
        low: int,
        high: int,
        millis: int,
        status: str | None,
        order_id: str | None,
        transaction_id: str | None,
    ) -> list[Record]:
        name = f"payshack:{flow}"
        case = _case_asked(order_id, transaction_id)
        asked = order_id is not None or transaction_id is not None
        rows = self._world.rows_of_case(name, case) if case is not None else [] if asked else range(low, high)
        newest_first = np.array(sorted((row for row in rows if low <= row < high), reverse=True), dtype=np.int64)
        found: list[Record] = []
        for portion in _portions(newest_first, SCAN):
            records = [
                record
                for record in self._world.table(name).at(portion, millis)
                if (order_id is None or facts.key_of(record) == order_id)
                and (transaction_id is None or facts.transaction_id(record) == transaction_id)
            ]
            if status is not None:
                rendered = zip(records, self._rendered(flow, records, millis), strict=True)
                records = [record for record, row in rendered if _word(row).lower() == status.lower()]
            found += records
        return found

    def _rendered(self, flow: str, records: list[Record], millis: int) -> list[dict[str, Any]]:
        render = payshack_records.payins if flow == "payin" else payshack_records.payouts
        return render(self._world.seed, records, millis)


def _portions(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """So many rows at a time, so that a page costs about what it shows."""
    return (rows[begin : begin + size] for begin in range(0, len(rows), size)) if size else iter(())


def _word(row: dict[str, Any]) -> str:
    return str(row.get("txnStatus") or row.get("status"))


def _fits(record: Record, project: str | None, status: str | None) -> bool:
    if project is not None and record.slot.owner != project:
        return False
    return status is None or STATUS_WORDS[record.status_class] == status


def _case_asked(order_id: str | None, transaction_id: str | None) -> int | None:
    if order_id is not None:
        return facts.case_of(order_id)
    digits = (transaction_id or "")[1:]
    return int(digits) // 10 if digits.isascii() and digits.isdigit() else None


def _range(created: Any, millis: int, first: date | None, last: date | None) -> tuple[int, int]:
    """Rows created within the UTC days and not after `millis`."""
    low = 0 if first is None else int(np.searchsorted(created, _midnight(first)))
    until = NEVER if last is None else _midnight(last + timedelta(days=1)) - 1
    return low, max(low, int(np.searchsorted(created, min(until, millis), side="right")))


def _midnight(day: date) -> int:
    return to_millis(datetime(day.year, day.month, day.day, tzinfo=UTC))
