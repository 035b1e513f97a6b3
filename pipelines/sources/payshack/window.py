"""One UTC created day of one flow, read until it is certain that nothing was missed.

    page 1 .. n (newest first) -> page 1 again -> totals and distinct ids agree? -> complete, else the same again

The list has no cursor and shifts under the reader: a new row pushes older ones to the next page (seen twice), a removed
one pulls them back (missed). Proof of a round, bounded by MAX_ROUNDS:

- closed day: `totalRecords` is the same before and after, every id of page 1 read again is known, and the distinct ids
  equal that total;
- today: rows may arrive on top after the round began, so the total may only grow, and the distinct ids of the round
  must cover the total it began with. A removed row shows as one id too few.

Rows already delivered in this read are not delivered again. Memory: one page, and two short hashes per row of the day.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

import msgspec
import pyarrow as pa

from pipelines.core.clock import Clock
from pipelines.core.errors import SourceUnavailable
from pipelines.sources.common.records import Provenance, build_page, clean_key
from pipelines.sources.payshack.client import Listing, PayShackClient
from pipelines.sources.payshack.schema import FLOW_SPECS, Flow

MAX_ROUNDS = 5
ROUND_PAUSE_SECONDS = 0.5


@dataclass(slots=True, kw_only=True)
class WindowProgress:
    """What a read has done so far. Totals are those of the round that proved the day; `started_at` is its begin."""

    pages: int = 0
    rows: int = 0
    rounds: int = 0
    total_records: int = 0
    distinct_records: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the day was proven complete."""
        return self.completed_at is not None


@dataclass(slots=True, kw_only=True)
class DayWindow:
    """Reads one day of one flow; `tables` is to be consumed once."""

    client: PayShackClient
    flow: Flow
    day: date
    clock: Clock
    progress: WindowProgress
    load_mode: str = "window"
    sleep: Callable[[float], None] = time.sleep
    _delivered: set[bytes] = field(default_factory=set)

    def tables(self) -> Iterator[pa.Table]:
        """Arrow tables of rows not delivered before. Raises SourceUnavailable when the day does not hold still."""
        state = self.progress
        before = after = 0
        ids: set[bytes] = set()
        for turn in range(MAX_ROUNDS):
            if turn:
                self.sleep(ROUND_PAUSE_SECONDS * 2**turn)
            state.rounds, state.started_at, ids = turn + 1, self.clock(), set()
            first = self._page(1)
            before = first.total
            yield from self._deliver(first, page=1, ids=ids)
            page, read = first, 1
            while page.records and read * page.per_page < page.total:
                read += 1
                page = self._page(read)
                yield from self._deliver(page, page=read, ids=ids)
            again, on_top = self._page(1), set[bytes]()
            yield from self._deliver(again, page=1, ids=on_top)
            after = again.total
            if self._is_proven(before, after, ids=ids, on_top=on_top):
                state.total_records, state.distinct_records = before, len(ids)
                state.completed_at = self.clock()
                return
        raise SourceUnavailable(
            f"PayShack's {self.flow} list of {self.day} did not hold still in {MAX_ROUNDS} readings: "
            f"total {before} before, {after} after, {len(ids)} distinct ids.",
            fix="run it again; if it stays, compare the day in the portal: rows may be listed twice",
        )

    def _is_proven(self, before: int, after: int, *, ids: set[bytes], on_top: set[bytes]) -> bool:
        is_open = self.day >= self.clock().date()
        if is_open:
            return after >= before and len(ids) >= before
        return after == before == len(ids) and on_top <= ids

    def _page(self, number: int) -> Listing:
        return self.client.transactions(self.flow, page=number, date_from=self.day, date_to=self.day)

    def _deliver(self, listing: Listing, *, page: int, ids: set[bytes]) -> Iterator[pa.Table]:
        observed_at = self.clock()
        fresh = []
        for raw in listing.records:
            ids.add(identity(raw))
            text = hashlib.blake2b(raw, digest_size=12).digest()
            if text not in self._delivered:
                self._delivered.add(text)
                fresh.append(raw)
        self.progress.pages += 1
        if not fresh:
            return
        self.progress.rows += len(fresh)
        yield build_page(
            fresh,
            spec=FLOW_SPECS[self.flow],
            provenance=Provenance(
                observed_at=observed_at,
                load_mode=self.load_mode,
                load_scope=self.day.isoformat(),
                load_page=page,
            ),
        )


class _Ids(msgspec.Struct):
    """Only the ids: the rest of a record is parsed once, when its page is built."""

    txnId: str | int | None = None
    transactionId: str | int | None = None


_ids = msgspec.json.Decoder(_Ids)


def identity(raw: msgspec.Raw) -> bytes:
    """A short hash of the record's id, or of its whole text where it has none that can be read."""
    try:
        found = _ids.decode(raw)
        key = clean_key(found.txnId) or clean_key(found.transactionId)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        key = None
    return hashlib.blake2b(key.encode() if key else bytes(raw), digest_size=12).digest()
