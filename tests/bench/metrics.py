"""What the metrics cost after 1,000 changed payments, beside their full rebuild, over two lengths of history.

    python -m tests.bench.metrics [--sizes 100000 1000000]

The facts that the metrics read are filled in directly: what it takes to get there is measured by tests.bench.models.
The changed payments are the newest ones, as in every minute's run, and then some spread over all of history, as after a
sweep.
"""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta

from tests.bench_warehouse import bench_warehouse
from tests.integration.dbt.conftest import Warehouse

SIZES = (100_000, 1_000_000)
CHANGED = 1_000
DAYS = 60
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
METRICS = ["--select", "path:models/marts/metrics"]
REPORTS = ("rpt_metrics_daily", "rpt_hourly_heatmap", "rpt_success_matured", "rpt_period_comparison", "rpt_merchants")

FACTS = """
insert into marts.fct_transactions (
    transaction_id, source, flow, source_txn_id, order_key, project, merchant, currency, amount, fee, status,
    status_raw, payment_method, country, created_at, updated_at, completed_at, business_date, first_seen_at,
    last_seen_at,
    is_paid_amount_missing, is_flow_assumed, is_created_at_missing, is_status_regression, is_client_unmapped,
    changed_xid
)
select
    'vima:' || number, 'vima', case when number %% 10 = 0 then 'payout' else 'payin' end, number::text, 'K' || number,
    case when number %% 7 = 0 then 'monetix' else '91game' end, 'merchant-' || number %% 20, 'INR',
    100 + number %% 20000, 2,
    case when number %% 100 < 75 then 'success' when number %% 100 < 92 then 'failed' else 'expired' end,
    'word', 'apm', 'IN', at, at + interval '40 seconds', at + interval '40 seconds',
    (at at time zone 'Asia/Kolkata')::date, at, at, false, false, false, false, false, 1
from generate_series(1, %(size)s) as number
cross join lateral (
    select %(now)s - make_interval(secs => (%(size)s - number) * %(seconds)s::double precision / %(size)s) as at
) as placed
"""
VERSIONS = """
insert into marts.fct_transaction_versions (
    version_id, transaction_id, source, flow, source_txn_id, content_hash, version_number, status, updated_at,
    observed_at, load_mode, load_scope, load_page, load_id
)
select
    transaction_id || ':a', transaction_id, source, flow, source_txn_id, 'a', 1, status, updated_at, updated_at, 'feed',
    'x', 1, 'x'
from marts.fct_transactions
"""
CHANGE = """
update marts.fct_transactions
set status = case status when 'refunded' then 'success' else 'refunded' end,
    changed_xid = pg_current_xact_id()::text::bigint
where source_txn_id = any(%(records)s)
"""


def main() -> int:
    """Print seconds; exit code 1 when a refresh grows with history."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    newest: list[float] = []
    for size in parser.parse_args().sizes:
        with bench_warehouse() as warehouse:
            newest.append(_measure(warehouse, size))
    grows = len(newest) > 1 and newest[-1] > 2 * newest[0] + 1
    return int(grows)


def _measure(warehouse: Warehouse, size: int) -> float:
    warehouse.models(NOW)
    terms = {"size": size, "now": NOW, "seconds": timedelta(days=DAYS).total_seconds()}
    warehouse.query(FACTS, terms)
    warehouse.query(VERSIONS)
    for table in ("fct_transactions", "fct_transaction_versions"):
        warehouse.query(f"analyze marts.{table}")
    rebuild = _run(warehouse, "--full-refresh")
    _run(warehouse)
    idle = _run(warehouse)
    step = size // CHANGED
    patterns = {
        "newest": [str(size - number) for number in range(CHANGED)],
        "spread": [str(1 + number * step) for number in range(CHANGED)],
    }
    seconds = {}
    for name, records in patterns.items():
        warehouse.query(CHANGE, {"records": records})
        seconds[name] = _run(warehouse)
    reports = []
    for report in REPORTS:
        began = time.monotonic()
        warehouse.query(f"select * from marts.{report}")  # noqa: S608 - names of this file
        reports.append(f"{report} {1000 * (time.monotonic() - began):.0f} ms")
    sys.stdout.write(
        f"{size:,} payments: full rebuild {rebuild:.1f} s; without news {idle:.1f} s;"
        f" {CHANGED:,} changed: newest {seconds['newest']:.1f} s, spread over {DAYS} days {seconds['spread']:.1f} s\n"
        f"  reports read whole: {', '.join(reports)}\n"
    )
    return seconds["newest"]


def _run(warehouse: Warehouse, *flags: str) -> float:
    began = time.monotonic()
    # As a feed's run: views are always current. A full refresh makes them too.
    selection = METRICS if flags else [*METRICS, "--exclude", "config.materialized:view"]
    outcome = warehouse.invoke(NOW, ["run", *flags, *selection])
    if not outcome.success:
        raise SystemExit(str([result.message for result in outcome.result or [] if result.message]))
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
