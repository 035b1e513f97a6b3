"""Cost follows what changed: an incremental run over a long history reads its rows by index, not the tables."""

from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
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
    *("raw.payshack_balance_snapshots", "raw.payshack_clients"),
)
CLIENTS = ("91G_TECH_PVT_LTD", *(f"client {number}" for number in range(9)))

# A version of each client every other hour, and a reading every half an hour.
READINGS = """
insert into raw.payshack_clients (
    record_id, content_hash, payload, observed_at, load_mode, load_scope, load_page, _dlt_load_id
)
select client, extract(epoch from at)::text, jsonb_build_object('name', client, 'balance', extract(epoch from at)),
    at, 'feed', 'history', 1, 'history'
from unnest(%(clients)s::text[]) as client
cross join generate_series(%(since)s::timestamptz, %(until)s, interval '2 hours') as at;
insert into raw.payshack_balance_snapshots (client_id, observed_at, content_hash, balance)
select client, at, extract(epoch from date_bin('2 hours', at, %(since)s))::text, 1
from unnest(%(clients)s::text[]) as client
cross join generate_series(%(since)s::timestamptz, %(until)s, interval '30 minutes') as at
"""


def rows_read_in_sequence(warehouse: Warehouse) -> dict[str, int]:
    found = warehouse.query(
        "select schemaname || '.' || relname as name, seq_tup_read from pg_stat_user_tables"
        " where schemaname in ('raw', 'intermediate', 'marts', 'marts_pii')"
    )
    return {row["name"]: row["seq_tup_read"] for row in found}


def read_clients(warehouse: Warehouse, since: datetime, until: datetime) -> None:
    with connect(warehouse.url, autocommit=True) as connection:
        for statement in READINGS.split(";"):
            connection.execute(statement.encode(), {"clients": list(CLIENTS), "since": since, "until": until})
        for table in ("payshack_clients", "payshack_balance_snapshots"):
            connection.execute(f"analyze raw.{table}".encode())


def test_a_few_changes_do_not_read_the_history(dbt_warehouse: Warehouse) -> None:
    fill_history(dbt_warehouse.url, orders=ORDERS, now=NOW, days=DAYS)
    read_clients(dbt_warehouse, NOW - timedelta(days=DAYS), NOW - timedelta(hours=1))
    dbt_warehouse.models(NOW)
    dbt_warehouse.changes(NOW)
    # Of one day: a report reads the whole of each day that it writes anew.
    records = list(range(ORDERS - 100, ORDERS - 100 + CHANGED))
    later = NOW + timedelta(minutes=1)
    refund(dbt_warehouse.url, records, now=later)
    read_clients(dbt_warehouse, later, later)
    before = rows_read_in_sequence(dbt_warehouse)
    report = dbt_warehouse.changes(later)
    after = rows_read_in_sequence(dbt_warehouse)
    changed = dbt_warehouse.query(
        "select count(*) as n from marts.fct_reconciliation where 'refunded' = payshack_status"
    )
    assert (report.full_refresh, changed[0]["n"]) == (False, CHANGED)
    closings = dbt_warehouse.query(
        "select max(closing_at) as at, min(returned) as back from marts.rpt_balance_identity_daily"
    )
    assert closings[0]["at"] == later
    assert closings[0]["back"] < 0
    read = {name: after[name] - before[name] for name in HISTORY}
    assert not {name: rows for name, rows in read.items() if rows}
