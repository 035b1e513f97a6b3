"""Balance snapshots: what each client's balance was whenever PayShack's directory was read.

    pages of the clients' directory -> committed to raw.payshack_clients -> raw.payshack_balance_snapshots

The log of versions alone would not tell them apart: a balance that stands still, or comes back, is a version that is
known already, and yet it is a reading.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import pyarrow as pa

from pipelines.core.postgres import LOADER, connect
from pipelines.sources.common.records import parse_payload
from pipelines.sources.payshack.schema import client_balance

_SNAPSHOTS = """
insert into raw.payshack_balance_snapshots (client_id, observed_at, content_hash, balance)
select * from unnest(%s::text[], %s::timestamptz[], %s::text[], %s::numeric[])
on conflict (client_id, observed_at) do nothing
"""
_COLUMNS = ("record_id", "observed_at", "content_hash", "payload", "quarantine_reason")


class BalanceWatch:
    """Notes the clients of a reading as they pass, and keeps their balances once they are committed."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, datetime, str, Decimal | None]] = []

    def passing(self, pages: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same pages."""
        for page in pages:
            rows = zip(*(page[name].to_pylist() for name in _COLUMNS), strict=True)
            for client, observed_at, content_hash, payload, reason in rows:
                # Who waits in quarantine has no version that a snapshot could name.
                if reason is None:
                    balance = client_balance(parse_payload(payload.encode()))
                    self._seen.append((client, observed_at, content_hash, balance))
            yield page

    def keep(self, url: str) -> int:
        """One snapshot per client; how many. Raises DatabaseError."""
        if not self._seen:
            return 0
        with connect(url, role=LOADER, application="psp-load") as connection:
            columns = [list(column) for column in zip(*self._seen, strict=True)]
            return connection.execute(_SNAPSHOTS, columns).rowcount
