"""What a new bank statement costs beside a rebuild, over two lengths of history; run by `make bench`, or alone:

    python -m tests.bench.bank [--days 30 180] [--payments 2000]

For each number of settlement days, in a fresh embedded PostgreSQL: so many paid payments a day of one account; half of
them are credited one by one under their reference, the rest of a day in one sum, which is short on every 30th day, and
each day has a credit that nobody knows. Printed are seconds of the bank's models and of the life of its breaks, without
what they stand on: a full rebuild, a run without news, the statement of one more day, a line more of a day in the
middle of history, and 20 decisions. Targets: the new day costs at most half as much again at the greater length, where
no increment reads payments, lines or settlements in sequence; what it has read so is printed.
"""

import argparse
import sys
from datetime import UTC, date, datetime

from pipelines.breaks import actions
from pipelines.core.postgres import connect
from tests.bench_warehouse import bench_warehouse
from tests.integration.dbt.conftest import Warehouse

DAYS = (30, 180)
PAYMENTS = 2_000
DECISIONS = 20
NOISE_SECONDS = 0.5
FIRST = date(2026, 1, 1)
NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
SELECTED = ("+fct_bank_settlements", "+fct_bank_lines", "path:models/intermediate/breaks", "rpt_bank_bridge_daily")
HISTORY = (
    *("int_bank__lines", "fct_bank_dues", "fct_bank_lines", "fct_bank_settlements", "fct_movements"),
    *("fct_bank_reference_fits", "fct_bank_batch_fits", "int_transactions__current"),
)

# A settlement day begins at 21:00 in India, 15:30 UTC of the day before.
PAID = """
insert into raw.payshack_payins (
    record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
    load_mode, load_scope, load_page, _dlt_load_id
)
select number::text, 'a', 'K' || number, number, at, at,
    jsonb_build_object(
        'clientName', '91G_TECH_PVT_LTD', 'amount', 100 + number %% 900, 'paidAmount', 100 + number %% 900,
        'totalCommissionAmount', 2, 'utr', lpad(number::text, 12, '0'), 'txnStatus', 'Success'
    ), at, 'window', 'bank', 1, 'bank'
from generate_series(0, %(days)s::integer * %(payments)s::integer - 1) as number
cross join lateral (
    select %(first)s::timestamp at time zone 'UTC' - interval '8 hours 30 minutes'
        + make_interval(secs => number * 86400.0 / %(payments)s::integer) as at
) as placed
"""
STATEMENTS = """
insert into raw.bank_statements (
    file_hash, statement_number, file_name, file_format, account, currency, statement_name, first_day, last_day,
    line_count, observed_at
)
select 'f' || day, 1, 'f', 'csv', '000000000001', 'INR', 's', %(first)s::date + day + 1, %(first)s::date + day + 1, 0,
    now()
from generate_series(%(from)s::integer, %(to)s::integer) as day
"""
LINES = """
insert into raw.bank_lines (
    line_key, line_hash, occurrence, account, currency, value_date, booked_on, amount, reference, narration, file_hash,
    statement_number, line_number, observed_at
)
select key, key, 1, '000000000001', 'INR', %(first)s::date + day + 1, %(first)s::date + day + 1, amount, reference, 'x',
    'f' || day, 1, 1, now()
from generate_series(%(from)s::integer, %(to)s::integer) as day
cross join lateral (
    select 'r' || number as key, 98 + number %% 900 as amount, lpad(number::text, 12, '0') as reference
    from generate_series(day * %(payments)s::integer, (day + 1) * %(payments)s::integer - 1) as number
    where number %% 2 = 0
    union all
    select 'b' || day, sum(98 + number %% 900) - (day %% 30 = 29)::integer, null
    from generate_series(day * %(payments)s::integer, (day + 1) * %(payments)s::integer - 1) as number
    where number %% 2 = 1
    union all
    select 'u' || day || %(more)s, 7.77, null
) as booked
where key like %(only)s
"""


def main() -> int:
    """Print one block per length of history; exit code 1 when an increment grows with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, nargs="+", default=list(DAYS))
    parser.add_argument("--payments", type=int, default=PAYMENTS, help="a day")
    options = parser.parse_args()
    new_days = []
    for days in sorted(options.days):
        with bench_warehouse() as warehouse:
            new_days.append(_Bank(warehouse, days, options.payments).measured())
    return int(new_days[-1] > 1.5 * new_days[0] + NOISE_SECONDS)


class _Bank:
    """One account of `days` settled days and one that is settled later."""

    def __init__(self, warehouse: Warehouse, days: int, payments: int) -> None:
        self._warehouse, self._days, self._payments = warehouse, days, payments

    def measured(self) -> float:
        """Seconds of the increment after one new day."""
        self._warehouse.models(NOW)
        self._tell(PAID, days=self._days + 1)
        self._bring(0, self._days - 1)
        self._warehouse.query("analyze raw.payshack_payins; analyze raw.bank_lines")
        _say(f"\n{self._days} settlement days of {self._payments:,} payments")
        self._timed("full rebuild", "--full-refresh")
        self._run()
        # As after a minute of autovacuum.
        self._warehouse.query("analyze breaks.state; analyze breaks.events")
        self._timed("without news")
        self._bring(self._days, self._days)
        new_day = self._timed("one more day")
        self._tell(LINES, **{"from": self._days // 2, "to": self._days // 2}, more="x", only="u%")
        self._timed("a line more in the middle of history")
        self._decide()
        self._timed(f"{DECISIONS} decisions")
        return new_day

    def _bring(self, first: int, last: int) -> None:
        for statement in (STATEMENTS, LINES):
            self._tell(statement, **{"from": first, "to": last}, more="", only="%")

    def _tell(self, statement: str, **terms: object) -> None:
        self._warehouse.query(statement, {"first": FIRST, "payments": self._payments, **terms})

    def _decide(self) -> None:
        found = self._warehouse.query(
            "select break_id, last_event_number as number from marts.fct_bank_breaks where is_open order by break_id"
        )
        with connect(self._warehouse.url, role="psp_operator", autocommit=True) as connection:
            for row in found[:DECISIONS]:
                known = {"expected_event_number": row["number"], "actor": "asha", "at": NOW}
                actions.explain(connection, row["break_id"], reason_code="other", text="known", **known)

    def _timed(self, what: str, *flags: str) -> float:
        """Seconds of the bank's own models, and rows of history that were read in sequence."""
        before = self._read_in_sequence()
        steps = self._run(*flags)
        own = {name: seconds for name, seconds in steps.items() if "bank" in name or "breaks" in name}
        after = self._read_in_sequence()
        read = {name: after[name] - before[name] for name in HISTORY if after[name] > before[name]}
        slow = ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.items() if seconds >= 0.1)
        _say(f"  {what}: {sum(own.values()):.2f} s" + (f" ({slow})" if slow else ""))
        if read and not flags:
            _say(f"    read in sequence: {', '.join(f'{name} {rows:,}' for name, rows in read.items())}")
        return sum(own.values())

    def _run(self, *flags: str) -> dict[str, float]:
        views = () if flags else ("--exclude", "config.materialized:view", "config.materialized:seed")
        outcome = self._warehouse.invoke(NOW, ["run", *flags, "--select", *SELECTED, *views])
        if not outcome.success:
            raise SystemExit(str([result.message for result in outcome.result or [] if result.message]))
        return {result.node.name: result.execution_time for result in outcome.result}

    def _read_in_sequence(self) -> dict[str, int]:
        found = self._warehouse.query("select relname, seq_tup_read from pg_stat_user_tables")
        return {row["relname"]: row["seq_tup_read"] for row in found}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
