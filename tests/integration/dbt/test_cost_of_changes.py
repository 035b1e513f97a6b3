"""Cost follows what changed: an incremental run over a long history reads its rows by index, not the tables."""

from datetime import UTC, datetime, timedelta

from tests.history import fill_history, refund
from tests.integration.dbt.conftest import Warehouse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDERS = 20_000
CHANGED = 20
DAYS = 58
HISTORY = (
    *("raw.vima_operations", "raw.payshack_payins", "intermediate.int_transactions__current"),
    *("marts.fct_transactions", "marts.fct_transaction_versions", "marts.fct_reconciliation"),
    *("marts_pii.pii_transaction_parties", "marts.fct_transaction_parties"),
)


def rows_read_in_sequence(warehouse: Warehouse) -> dict[str, int]:
    found = warehouse.query(
        "select schemaname || '.' || relname as name, seq_tup_read from pg_stat_user_tables"
        " where schemaname in ('raw', 'intermediate', 'marts', 'marts_pii')"
    )
    return {row["name"]: row["seq_tup_read"] for row in found}


def test_a_few_changes_do_not_read_the_history(dbt_warehouse: Warehouse) -> None:
    fill_history(dbt_warehouse.url, orders=ORDERS, now=NOW, days=DAYS)
    dbt_warehouse.models(NOW)
    dbt_warehouse.changes(NOW)
    # Of one day: a report reads the whole of each day that it writes anew.
    records = list(range(ORDERS - 100, ORDERS - 100 + CHANGED))
    later = NOW + timedelta(minutes=1)
    refund(dbt_warehouse.url, records, now=later)
    before = rows_read_in_sequence(dbt_warehouse)
    report = dbt_warehouse.changes(later)
    after = rows_read_in_sequence(dbt_warehouse)
    changed = dbt_warehouse.query(
        "select count(*) as n from marts.fct_reconciliation where 'refunded' = payshack_status"
    )
    assert (report.full_refresh, changed[0]["n"]) == (False, CHANGED)
    read = {name: after[name] - before[name] for name in HISTORY}
    assert not {name: rows for name, rows in read.items() if rows}
