"""Orders with an open break or in flight, to be asked for by their key: each gets its turn, the longest unseen first.

    marts.fct_reconciliation (what is open) + raw.order_rechecks (when last asked) -> order keys

A break of an old day would otherwise only close when a sweep reads that day again.
"""

from collections.abc import Sequence
from datetime import date, datetime

from pipelines.core.postgres import LOADER, READER, connect


def orders_to_recheck(url: str, source: str, flow: str, *, older_than: date) -> list[str]:
    """Order keys of `flow` that are open and whose event lies before the UTC day `older_than`; none before any model
    has run."""
    with connect(url, role=READER, application="psp-load") as connection:
        exists = connection.execute("select to_regclass('marts.fct_reconciliation')").fetchone()
        if exists is None or exists[0] is None:
            return []
        opened = connection.execute(
            """
            select order_key, min(event_at)
            from marts.fct_reconciliation
            where
                flow = %s
                and order_key is not null
                and event_at < %s::date::timestamp at time zone 'UTC'
                and (comparability = 'in_flight' or (comparability = 'comparable' and outcome <> 'matched'))
            group by order_key
            """,
            (flow, older_than),
        ).fetchall()
    with connect(url, role=LOADER, application="psp-load") as connection:
        rows = connection.execute(
            "select order_key, checked_at from raw.order_rechecks where source = %s and flow = %s", (source, flow)
        ).fetchall()
    checked: dict[str, datetime] = dict(rows)
    # Never asked for first, then the longest ago, each oldest event first.
    opened.sort(key=lambda row: (row[0] in checked, checked.get(row[0], row[1]), row[1], row[0]))
    return [order_key for order_key, _ in opened]


def note_rechecked(url: str, source: str, flow: str, order_keys: Sequence[str], now: datetime) -> None:
    """Remember that these orders were asked for at `now`."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        connection.execute(
            "insert into raw.order_rechecks (source, flow, order_key, checked_at)"
            " select %s, %s, order_key, %s from unnest(%s::text[]) as asked (order_key) order by order_key"
            " on conflict (source, flow, order_key) do update set checked_at = excluded.checked_at",
            (source, flow, now, list(order_keys)),
        )
