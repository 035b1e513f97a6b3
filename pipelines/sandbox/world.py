"""The invented world: which records exist at an instant, and in which version.

    arrivals + kinds -> record tables (numpy, one per source and flow, by creation) -> events of Vima by update id

Grain of a table: one row per record, with the instant of each of its versions. What a record says is rendered only when
it is asked for (vima_records, payshack_records), so a million orders cost some 200 MB and a few seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox import arrivals
from pipelines.sandbox.arrivals import Millis
from pipelines.sandbox.chance import Longs, units
from pipelines.sandbox.kinds import FREQUENT, KINDS, RARE, Delay, Slot
from pipelines.sandbox.moments import to_millis

NEVER = np.iinfo(np.int64).max
MAX_VERSIONS = 4
TURN, RARE_PER_TURN = 20, 3
LIVE_BLOCK = 4320
PORTION = 4096
TABLES = ("vima", "payshack:payin", "payshack:payout")
ID_SPAN = 1_000_000


class Record(NamedTuple):
    """A record as it stands at an instant. Times in milliseconds, `version` counted from 0."""

    case: int
    kind: str
    slot_number: int
    slot: Slot
    created: int
    updated: int
    version: int
    status_class: str


@dataclass(slots=True)
class RecordTable:
    """Rows of one source and flow by creation; `times` holds the instant of each version, NEVER after the last."""

    case: Longs
    kind: NDArray[np.int16]
    slot: NDArray[np.int8]
    created: Millis
    times: Millis

    def sorted(self) -> "RecordTable":
        """By creation, then case and slot."""
        order = np.lexsort((self.slot, self.case, self.created))
        return RecordTable(self.case[order], self.kind[order], self.slot[order], self.created[order], self.times[order])

    def plus(self, other: "RecordTable") -> "RecordTable":
        """Both together, sorted."""
        return RecordTable(
            np.concatenate([self.case, other.case]),
            np.concatenate([self.kind, other.kind]),
            np.concatenate([self.slot, other.slot]),
            np.concatenate([self.created, other.created]),
            np.concatenate([self.times, other.times]),
        ).sorted()

    def at(self, rows: Sequence[int] | NDArray[np.int64], now: int) -> list[Record]:
        """The records of these rows in their version of `now`, without those that do not exist yet."""
        chosen = np.asarray(rows, dtype=np.int64)
        times = self.times[chosen]
        found = []
        for case, kind_number, slot_number, moments, count in zip(
            self.case[chosen].tolist(),
            self.kind[chosen].tolist(),
            self.slot[chosen].tolist(),
            times.tolist(),
            np.count_nonzero(times <= now, axis=1).tolist(),
            strict=True,
        ):
            if count:
                kind = KINDS[kind_number]
                slot = kind.slots[slot_number]
                status_class = slot.path[count - 1].status_class
                updated = moments[count - 1]
                found.append(Record(case, kind.name, slot_number, slot, moments[0], updated, count - 1, status_class))
        return found


@dataclass(slots=True)
class Events:
    """Every version of every Vima record by update id, which rises with time; `until` is when the next one follows."""

    update_id: Millis
    row: NDArray[np.int64]
    at: Millis
    until: Millis


class World:
    """One invented world, for one thread. Without `is_live` no order follows the anchor."""

    def __init__(self, *, seed: int, orders: int, anchor: datetime, is_live: bool = True) -> None:
        self.seed, self.orders, self.anchor, self._is_live = seed, orders, anchor, is_live
        self._live = 0
        self._tables = self._made(*arrivals.history(seed, orders, anchor))
        self._events: Events | None = None
        self._rows_of_case: dict[str, tuple[Longs, NDArray[np.int64]]] = {}

    def reach(self, now: datetime) -> int:
        """Make sure that everything up to `now` exists; `now` in milliseconds."""
        millis = to_millis(now)
        until = (millis - to_millis(self.anchor)) // (arrivals.GAP_SECONDS * 1000) + 1
        while self._is_live and self._live < until:
            block = self._made(*arrivals.live(self.seed, self.orders, self.anchor, self._live, LIVE_BLOCK))
            self._live += LIVE_BLOCK
            self._tables = {name: table.plus(block[name]) for name, table in self._tables.items()}
            self._events, self._rows_of_case = None, {}
        return millis

    def table(self, name: str) -> RecordTable:
        """Rows of `vima`, `payshack:payin` or `payshack:payout`."""
        return self._tables[name]

    def records(self, name: str, now: datetime) -> list[Record]:
        """All records of a table as they stand at `now`, oldest first."""
        millis = self.reach(now)
        table = self.table(name)
        count = int(np.searchsorted(table.created, millis, side="right"))
        parts = (range(begin, min(begin + PORTION, count)) for begin in range(0, count, PORTION))
        return [record for part in parts for record in table.at(part, millis)]

    def rows_of_case(self, name: str, case: int) -> list[int]:
        """Rows of one order, oldest first."""
        if name not in self._rows_of_case:
            order = np.argsort(self.table(name).case, kind="stable")
            self._rows_of_case[name] = (self.table(name).case[order], order)
        cases, order = self._rows_of_case[name]
        low, high = np.searchsorted(cases, np.array([case, case + 1], dtype=np.uint64))
        return sorted(order[low:high].tolist())

    def events(self) -> Events:
        """Vima's versions by update id."""
        if self._events is None:
            table = self.table("vima")
            rows, versions = np.nonzero(table.times != NEVER)
            at = table.times[rows, versions]
            following = np.concatenate([table.times[:, 1:], np.full((len(table.case), 1), NEVER)], axis=1)
            update_id = event_id(at, table.case[rows].astype(np.int64), table.slot[rows].astype(np.int64))
            order = np.argsort(update_id)
            self._events = Events(update_id[order], rows[order], at[order], following[rows, versions][order])
        return self._events

    def _made(self, cases: Longs, times: Millis) -> dict[str, RecordTable]:
        kinds = self._kinds(cases)
        parts: dict[str, list[RecordTable]] = {name: [] for name in TABLES}
        for number in np.unique(kinds):
            chosen = kinds == number
            for slot_number, slot in enumerate(KINDS[number].slots):
                part = self._slot(cases[chosen], times[chosen], int(number), slot_number, slot)
                parts["vima" if slot.source == "vima" else f"payshack:{slot.flow}"].append(part)
        empty = RecordTable(
            np.empty(0, np.uint64),
            np.empty(0, np.int16),
            np.empty(0, np.int8),
            np.empty(0, np.int64),
            np.empty((0, MAX_VERSIONS), np.int64),
        )
        made = {}
        for name, found in parts.items():
            columns = zip(*((t.case, t.kind, t.slot, t.created, t.times) for t in [empty, *found]), strict=True)
            made[name] = RecordTable(*(np.concatenate(column) for column in columns)).sorted()
        return made

    def _kinds(self, cases: Longs) -> NDArray[np.int16]:
        """Most orders by weight; every TURN cases RARE_PER_TURN of them go to the rare kinds in turn."""
        weights = np.cumsum([kind.weight for kind in FREQUENT])
        frequent = np.searchsorted(weights, units(self.seed, cases, "kind") * weights[-1], side="right")
        place = cases % np.uint64(TURN)
        turn = (cases // np.uint64(TURN)) * np.uint64(RARE_PER_TURN) + place
        rare = len(FREQUENT) + (turn % np.uint64(len(RARE))).astype(np.int64)
        return np.where(place < RARE_PER_TURN, rare, frequent).astype(np.int16)

    def _slot(self, cases: Longs, times: Millis, kind: int, slot_number: int, slot: Slot) -> RecordTable:
        created = times + self._delay(cases, slot.delays)
        versions = np.full((len(cases), MAX_VERSIONS), NEVER, dtype=np.int64)
        for number, step in enumerate(slot.path):
            versions[:, number] = created + self._delay(cases, step.delays)
        return RecordTable(
            cases,
            np.full(len(cases), kind, np.int16),
            np.full(len(cases), slot_number, np.int8),
            created,
            versions,
        )

    def _delay(self, cases: Longs, delays: tuple[Delay, ...]) -> Millis:
        total = np.zeros(len(cases), dtype=np.float64)
        for stream, least, greatest in delays:
            total += least + units(self.seed, cases, stream) * (greatest - least)
        return (total * 1000).astype(np.int64)


def event_id(at: Millis, case: Millis, slot: Millis) -> Millis:
    """A 64-bit id beyond 2^53 that rises with time: the millisecond, then case and slot."""
    return at * ID_SPAN + case % (ID_SPAN // 10) * 10 + slot
