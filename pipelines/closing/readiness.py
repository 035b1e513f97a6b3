"""Whether the marts say what the raw log says at an instant: only then a day may be signed from them.

The marts are at rest when no committed row of the raw log is unseen by a model, no model has unseen changes of the one
before it or of what people have decided, and nothing is due by the clock or by a watermark. Then a rebuild from the
same rows and decisions at the same instant gives the same marts, which is what makes a signed day reproducible.
"""

from datetime import datetime
from typing import Any

import psycopg

# In the order of the flow: what is committed, and what the next model has seen of it.
_UNSEEN = """
select
    coalesce((
        select greatest(
            (select max(loaded_xid) from raw.vima_operations),
            (select max(loaded_xid) from raw.payshack_payins),
            (select max(loaded_xid) from raw.payshack_payouts),
            (select max(loaded_xid) from raw.quarantine)
        ) >= (
            select min(processed_xid) from intermediate.model_state
            where model in ('int_transactions__current', 'fct_transaction_versions', 'fct_reconciliation')
        )
    ), false),
    coalesce((
        select max(changed_xid) >= (
            select min(processed_xid) from intermediate.model_state where model in ('fct_transactions', 'fct_movements')
        )
        from intermediate.int_transactions__current
    ), false),
    coalesce((
        select max(changed_xid) >= (
            select min(processed_xid) from intermediate.model_state
            where model in (
                'rpt_reconciliation_daily', 'rpt_bridge_daily', 'rpt_tolerance_ledger', 'int_breaks__transitions'
            )
        )
        from marts.fct_reconciliation
    ), false),
    coalesce((
        select max(changed_xid) >= (
            select min(processed_xid) from intermediate.model_state
            where model in ('rpt_reconciliation_daily', 'rpt_bridge_daily')
        )
        from breaks.state
        where decision is not null
    ), false),
    coalesce((
        select max(changed_xid) >= (
            select processed_xid from intermediate.model_state where model = 'rpt_bridge_daily'
        )
        from marts.fct_movements
    ), false)
"""

_DUE = """
select
    exists (select from marts.fct_reconciliation where review_at <= %(now)s)
    or exists (select from intermediate.int_transactions__current where expires_at <= %(now)s)
    or exists (
        select
        from raw.source_watermarks as watermarks
        inner join marts.fct_reconciliation as mart
            on
                watermarks.source = mart.awaited_source
                and watermarks.flow = mart.flow
                and mart.awaited_watermark <= watermarks.watermark
    )
"""


def is_at_rest(connection: psycopg.Connection[Any], now: datetime) -> bool:
    """Whether the marts are what a rebuild at `now` would make of the rows that `connection` sees."""
    try:
        unseen = connection.execute(_UNSEEN).fetchone()
        due = connection.execute(_DUE, {"now": now}).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        connection.rollback()
        return False  # not all of it has been built yet
    return unseen is not None and due is not None and not any(unseen) and not due[0]
