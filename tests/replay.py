"""A sandbox world told to the raw log as it went: at each instant what a look at both providers would have found new.

    World -> versions of every record at `moment` -> COPY into raw.* and watermarks

Quicker than the servers by far, so that hours of history can be replayed through the real models one after the other.
Records that break the contract are left out; the loaders' tests have them.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from pipelines.sandbox import facts
from pipelines.sandbox.moments import instant, to_millis
from pipelines.sandbox.payshack_records import payins, payouts
from pipelines.sandbox.vima_records import render_operations
from pipelines.sandbox.world import Record, World

UNREADABLE = frozenset({"no_id", "broken_amount", "no_amount", "inexact_amount"})
LOGS = {"vima": "vima_operations", "payshack:payin": "payshack_payins", "payshack:payout": "payshack_payouts"}
COLUMNS = (
    *("record_id", "content_hash", "order_key", "source_order", "source_created_at", "source_updated_at", "payload"),
    *("observed_at", "load_mode", "load_scope", "load_page", "_dlt_load_id"),
)
PAGE = 1000
COPY = "copy raw.{} ({}) from stdin"
WATERMARKS = """
insert into raw.source_watermarks (source, flow, watermark, updated_at)
select source, flow, %(now)s, %(now)s
from unnest(array['vima', 'payshack']) as source, unnest(array['payin', 'payout']) as flow
on conflict (source, flow) do update set watermark = excluded.watermark, updated_at = excluded.updated_at
"""


class Replay:
    """How far one world has been told to one warehouse."""

    def __init__(self, world: World, *, since: datetime | None = None) -> None:
        """`since` leaves out what was created before. The world must stand still: its tables keep their rows."""
        self.world = world
        self._since = 0 if since is None else to_millis(since)
        self._told: dict[str, NDArray[np.int64]] = {}

    def tell(self, connection: psycopg.Connection, moment: datetime) -> int:
        """Commit every version that stands at `moment` and was not told; how many."""
        now, count = to_millis(moment), 0
        for name, log_table in LOGS.items():
            table = self.world.table(name)
            version = (table.times <= now).sum(axis=1).astype(np.int64) - 1
            told = self._told.get(name, np.full(len(version), -1, dtype=np.int64))
            rows = np.nonzero((version > told) & (table.created >= self._since))[0]
            self._told[name] = np.maximum(told, version)
            columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
            statement = sql.SQL(COPY).format(sql.Identifier(log_table), columns)
            with connection.cursor().copy(statement) as copy:
                for values in self._rows(name, rows.tolist(), now, moment):
                    copy.write_row(values)
                    count += 1
        connection.execute(WATERMARKS, {"now": moment})
        connection.commit()
        return count

    def _rows(self, name: str, rows: list[int], now: int, moment: datetime) -> Iterator[tuple[Any, ...]]:
        table = self.world.table(name)
        for first in range(0, len(rows), PAGE):
            records = [r for r in table.at(rows[first : first + PAGE], now) if not r.slot.traits & UNREADABLE]
            for record, payload in zip(records, self._payloads(name, records, moment), strict=True):
                record_id = facts.operation_id(record) if name == "vima" else facts.transaction_id(record)
                yield (
                    *(record_id, f"v{record.version}", facts.key_of(record), record.updated),
                    None if "no_created" in record.slot.traits else instant(record.created),
                    instant(record.updated),
                    payload,
                    *(moment, "feed", "replay", 1, "replay"),
                )

    def _payloads(self, name: str, records: list[Record], moment: datetime) -> list[str]:
        if name == "vima":
            return [operation.decode() for operation in render_operations(self.world.seed, records, moment)]
        render = payins if name == "payshack:payin" else payouts
        return [json.dumps(row, default=str) for row in render(self.world.seed, records, to_millis(moment))]
