"""Cost follows what changed: an incremental run over a long history reads its rows by index, not the tables."""

from datetime import UTC, datetime, timedelta

from tests.integration.dbt.conftest import Warehouse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDERS = 20_000
CHANGED = 20
HISTORY = (
    *("raw.vima_operations", "raw.payshack_payins", "intermediate.int_transactions__current"),
    *("marts.fct_transactions", "marts.fct_transaction_versions", "marts.fct_reconciliation"),
)

MANY_ORDERS = """
create table orders as
select number, 'K' || number as key, 100 + number %% 900 as amount, number %% 100 as kind,
    timestamptz '2026-03-01 06:00Z' - make_interval(secs => (%(orders)s - number) * 5e6 / %(orders)s) as at
from generate_series(1, %(orders)s) as number;

insert into raw.vima_operations (
    record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
    load_mode, load_scope, load_page, _dlt_load_id
)
select number::text, 'a', key, number, at, at + interval '40 seconds',
    jsonb_build_object(
        'project', '91game', 'create_params', '{"method": "payment.in"}'::jsonb, 'complete_amount', amount,
        'complete_currency', 'INR', 'current_status',
        case when kind < 80 then 'success' when kind < 90 then 'fail' else 'user_input_required' end
    ), at + interval '1 minute', 'feed', 'history', 1, 'history'
from orders;

insert into raw.payshack_payins (
    record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
    load_mode, load_scope, load_page, _dlt_load_id
)
select number::text, 'a', key, number, at, at + interval '40 seconds',
    jsonb_build_object(
        'clientName', '91G_TECH_PVT_LTD', 'amount', amount, 'paidAmount', amount, 'utr', lpad(number::text, 12, '0'),
        'txnStatus', case when kind < 80 then 'Success' when kind < 90 then 'Failed' else 'Incomplete' end
    ), at + interval '1 minute', 'window', 'history', 1, 'history'
from orders where kind <> 79;

insert into raw.source_watermarks (source, flow, watermark, updated_at)
values ('vima', 'payin', '2026-03-01 11:00Z', '2026-03-01 11:00Z'),
    ('payshack', 'payin', '2026-03-01 11:00Z', '2026-03-01 11:00Z')
"""

REFUNDS = """
insert into raw.payshack_payins (
    record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
    load_mode, load_scope, load_page, _dlt_load_id
)
select record_id, 'b', order_key, source_order, source_created_at, %(now)s, payload || '{"txnStatus": "Refunded"}',
    %(now)s, 'window', 'late', 1, 'late'
from raw.payshack_payins
where record_id = any(%(records)s)
"""


def rows_read_in_sequence(warehouse: Warehouse) -> dict[str, int]:
    found = warehouse.query(
        "select schemaname || '.' || relname as name, seq_tup_read from pg_stat_user_tables"
        " where schemaname in ('raw', 'intermediate', 'marts')"
    )
    return {row["name"]: row["seq_tup_read"] for row in found}


def test_a_few_changes_do_not_read_the_history(dbt_warehouse: Warehouse) -> None:
    for statement in MANY_ORDERS.split(";\n"):
        dbt_warehouse.query(statement, {"orders": ORDERS})
    for table in ("vima_operations", "payshack_payins"):
        dbt_warehouse.query(f"analyze raw.{table}")
    dbt_warehouse.models(NOW)
    dbt_warehouse.changes(NOW)
    # Of one day: a report reads the whole of each day that it writes anew.
    records = [str(number) for number in range(ORDERS - 100, ORDERS - 100 + CHANGED)]
    later = NOW + timedelta(minutes=1)
    dbt_warehouse.query(REFUNDS, {"now": later, "records": records})
    before = rows_read_in_sequence(dbt_warehouse)
    report = dbt_warehouse.changes(later)
    after = rows_read_in_sequence(dbt_warehouse)
    changed = dbt_warehouse.query(
        "select count(*) as n from marts.fct_reconciliation where 'refunded' = payshack_status"
    )
    assert (report.full_refresh, changed[0]["n"]) == (False, CHANGED)
    read = {name: after[name] - before[name] for name in HISTORY}
    # A report of days may read the facts once, where that is cheaper than a day by index.
    assert read.pop("marts.fct_reconciliation") <= ORDERS
    assert set(read.values()) == {0}, read
