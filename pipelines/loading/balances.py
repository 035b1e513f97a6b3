"""Balance snapshots: what each client's balance was whenever PayShack's directory was read.

    pages of the clients' directory -> committed to raw.payshack_clients -> raw.payshack_balance_snapshots

The log of versions alone would not tell them apart: a balance that comes back is a version that is known already.
"""

from collections.abc import Iterator

import pyarrow as pa

from pipelines.core.postgres import LOADER, connect
from pipelines.sources.payshack.schema import DIRECTORY_SPECS

CLIENTS = DIRECTORY_SPECS["clients"].table

# A number as PayShack writes it, in JSON or as text; anything else is no balance.
_SNAPSHOTS = """
insert into raw.payshack_balance_snapshots (client_id, observed_at, content_hash, balance)
select
    seen.record_id,
    seen.observed_at,
    seen.content_hash,
    case when told.balance ~ '^-?[0-9]{1,20}([.][0-9]{1,10})?$' then told.balance::numeric end
from unnest(%s::text[], %s::text[], %s::timestamptz[]) as seen (record_id, content_hash, observed_at)
inner join raw.payshack_clients as client
    on client.record_id = seen.record_id and client.content_hash = seen.content_hash
cross join lateral (
    select coalesce(client.payload ->> 'balance', client.payload ->> 'walletBalance') as balance
) as told
on conflict (client_id, observed_at) do nothing
"""


class BalanceWatch:
    """Notes the clients of a reading as they pass, and keeps their balances once they are committed."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, str, object]] = []

    def passing(self, pages: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same pages."""
        for page in pages:
            columns = (page[name].to_pylist() for name in ("record_id", "content_hash", "observed_at"))
            self._seen += [seen for seen in zip(*columns, strict=True) if seen[0] is not None]
            yield page

    def keep(self, url: str) -> int:
        """One snapshot per client; how many. Who waits in quarantine has none. Raises DatabaseError."""
        if not self._seen:
            return 0
        with connect(url, role=LOADER, application="psp-load") as connection:
            columns = [list(column) for column in zip(*self._seen, strict=True)]
            return connection.execute(_SNAPSHOTS, columns).rowcount
