"""A long, plain history of orders in the raw log, made by SQL alone, for what measures or plans the models.

    orders(number, key, amount, kind, at) -> raw.vima_operations, raw.payshack_payins; watermarks an hour before `now`

Of a hundred orders 79 are paid on both sides, one at Vima only, ten failed, ten were left waiting; spread evenly over
the days asked for, the newest six hours old.
"""

from datetime import datetime

from pipelines.core.postgres import connect

LOG = (
    "record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,"
    " load_mode, load_scope, load_page, _dlt_load_id"
)

ORDERS = """
create table orders as
select number, 'K' || number as key, 100 + number %% 900 as amount, number %% 100 as kind,
    %(now)s - interval '6 hours' - make_interval(secs => (%(orders)s - number) * %(days)s * 86400.0 / %(orders)s) as at
from generate_series(1, %(orders)s) as number
"""

OPERATIONS = f"""
insert into raw.vima_operations ({LOG})
select number::text, 'a', key, number, at, at + interval '40 seconds',
    jsonb_build_object(
        'project', '91game', 'create_params', '{{"method": "payment.in"}}'::jsonb, 'complete_amount', amount,
        'complete_currency', 'INR', 'current_status',
        case when kind < 80 then 'success' when kind < 90 then 'fail' else 'user_input_required' end
    ), at + interval '1 minute', 'feed', 'history', 1, 'history'
from orders
"""  # noqa: S608 - names of our own

TRANSACTIONS = f"""
insert into raw.payshack_payins ({LOG})
select number::text, 'a', key, number, at, at + interval '40 seconds',
    jsonb_build_object(
        'clientName', '91G_TECH_PVT_LTD', 'amount', amount, 'paidAmount', amount, 'utr', lpad(number::text, 12, '0'),
        'txnStatus', case when kind < 80 then 'Success' when kind < 90 then 'Failed' else 'Incomplete' end
    ), at + interval '1 minute', 'window', 'history', 1, 'history'
from orders where kind <> 79
"""  # noqa: S608 - names of our own

WATERMARKS = """
insert into raw.source_watermarks (source, flow, watermark, updated_at)
select source, 'payin', %(now)s - interval '1 hour', %(now)s from unnest(array['vima', 'payshack']) as source
"""

REFUNDS = f"""
insert into raw.payshack_payins ({LOG})
select record_id, 'b' || %(now)s::text, order_key, source_order, source_created_at, %(now)s,
    payload || '{{"txnStatus": "Refunded"}}', %(now)s, 'window', 'late', 1, 'late'
from raw.payshack_payins
where record_id = any(%(records)s) and content_hash = 'a'
"""  # noqa: S608 - names of our own


def fill_history(url: str, *, orders: int, now: datetime, days: int) -> None:
    """`orders` orders of the last `days` days before `now`, analysed as after weeks of loads."""
    terms = {"orders": orders, "now": now, "days": days}
    with connect(url, autocommit=True, application="history") as connection:
        for statement in (ORDERS, OPERATIONS, TRANSACTIONS, WATERMARKS):
            connection.execute(statement.encode(), terms)
        for table in ("vima_operations", "payshack_payins"):
            connection.execute(f"vacuum analyze raw.{table}".encode())


def refund(url: str, records: list[int], *, now: datetime) -> None:
    """PayShack refunds these orders, by number; one commit."""
    with connect(url, application="history") as connection:
        connection.execute(REFUNDS.encode(), {"now": now, "records": [str(number) for number in records]})
