"""What a run of the models has changed in the reconciliation, told to the live feed by project and flow.

    reconciliation_completed   one per project and flow of which a row has changed
    alert                      one per project, flow and currency of which a critical row has come or changed

Rows that are judged again and come out the same keep the transaction that wrote them (`changed_xid`, indexed), so what
is newer than the last look is what has changed, at the cost of what has changed.
"""

from typing import Any

from pipelines.sidecar.database import Database

NAMED_ROWS = 20

NEWEST = "select coalesce(max(changed_xid), 0) as total from marts.fct_reconciliation"
CHANGED = """
select
    project,
    flow,
    count(*) as changed,
    count(*) filter (where outcome = 'matched') as matched,
    count(*) filter (where outcome in ('discrepancy_amount', 'discrepancy_status')) as discrepancies,
    count(*) filter (where outcome in ('missing_vima', 'missing_payshack')) as missing,
    count(*) filter (where comparability <> 'comparable') as not_comparable
from marts.fct_reconciliation
where changed_xid > %(since)s
group by project, flow
order by project, flow
"""
CRITICAL = """
select
    project,
    flow,
    coalesce(currency, 'unknown') as currency,
    'critical_break' as rule,
    count(*) as rows,
    coalesce(sum(exposure), 0) as exposure,
    (array_agg(reconciliation_id order by exposure desc nulls last, reconciliation_id))[1:%(named)s]
        as reconciliation_ids
from marts.fct_reconciliation
where changed_xid > %(since)s and severity = 'critical'
group by project, flow, coalesce(currency, 'unknown')
order by project, flow, currency
"""


class Changes:
    """Remembers up to where the changes have been told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since: int | None = None

    async def news(self) -> list[tuple[str, dict[str, Any]]]:
        """Events since the last look, as (type, data); none at the first one, which only takes the measure."""
        async with self._database.snapshot() as reader:
            newest = await reader.total(NEWEST, {})
            since, self._since = self._since, newest
            # A restored database counts its transactions anew.
            if since is None or newest <= since:
                return []
            changed = await reader.rows(CHANGED, {"since": since})
            critical = await reader.rows(CRITICAL, {"since": since, "named": NAMED_ROWS})
        as_of = {"as_of": reader.freshness.as_of}
        return [
            *(("reconciliation_completed", row | as_of) for row in changed),
            *(("alert", row | as_of) for row in critical),
        ]
