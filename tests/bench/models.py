"""What reconciliation costs beside the bare join of the same rows; run by `make bench`, or alone:

    python -m tests.bench.models [--sizes 100000 1000000 3000000]

For each size, in a fresh embedded PostgreSQL: a full rebuild from the raw log; the reconciliation models' own part of
it; the bare full outer join of the same legs into a table with the mart's indexes, in PostgreSQL and, without indexes,
in DuckDB; then the refresh after 1,000 changed keys spread over the whole history. Targets: the models within 4 times
the bare join, a refresh under 3 s and the same at every length of history, Python's memory flat.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb

from pipelines.core import embedded_postgres
from pipelines.core.postgres import connect, prepare_warehouse
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import SESSION_OPTIONS
from tests.history import fill_history, refund
from tests.integration.dbt.conftest import Warehouse

SIZES = (100_000, 1_000_000, 3_000_000)
CHANGED = 1_000
REFRESHES = 3
DAYS = 60
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MODELS = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test", "--select", "+fct_reconciliation"]
PART = "reconciliation"

SIDES = """
create table {side} as
select order_key, transaction_id, effective_class, amount, currency, created_at, updated_at
from intermediate.int_reconciliation__legs where source = '{side}'
"""
JOIN = """
create table bare as
select md5(coalesce(vima.order_key, payshack.order_key)) as reconciliation_id,
    coalesce(vima.order_key, payshack.order_key) as reconciliation_key,
    vima.transaction_id as vima_transaction_id, payshack.transaction_id as payshack_transaction_id,
    vima.amount as vima_amount, payshack.amount as payshack_amount,
    vima.effective_class as vima_class, payshack.effective_class as payshack_class,
    vima.currency, payshack.currency as payshack_currency,
    vima.amount is distinct from payshack.amount as is_different,
    coalesce(vima.created_at, payshack.created_at) as event_at,
    cast(coalesce(vima.created_at, payshack.created_at) as date) as business_date,
    cast(1 as bigint) as changed_xid, 'payin' as flow, '91game' as project, vima.updated_at as vima_updated_at,
    payshack.updated_at as payshack_updated_at
from vima full outer join payshack on vima.order_key = payshack.order_key
"""
INDEXES = """
alter table bare add primary key (reconciliation_id);
create index on bare (changed_xid);
create index on bare (reconciliation_key);
create index on bare (vima_transaction_id);
create index on bare (payshack_transaction_id);
create index on bare (business_date, project, flow);
analyze bare
"""


def main() -> int:
    """Print one block per size and whether the refreshes agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    refreshes = {}
    for size in sorted(parser.parse_args().sizes):
        with tempfile.TemporaryDirectory(prefix="psp-models-") as home:
            settings = load_settings({"PSP_HOME": home})
            url = embedded_postgres.start(settings)
            try:
                refreshes[size] = _measure(url, size, Path(home))
            finally:
                embedded_postgres.stop(settings)
    spread = max(refreshes.values()) / min(refreshes.values())
    _say(f"refresh of {CHANGED:,} changed keys over {len(refreshes)} lengths of history: {spread:.2f} times apart")
    return 0


def _measure(url: str, size: int, home: Path) -> float:
    prepare_warehouse(url)

    def settings(**changes: str) -> Settings:
        return load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": str(home)} | changes)

    warehouse = Warehouse(url=url, project=parsed_project(settings()), make_settings=settings)
    filled = _timed(lambda: fill_history(url, orders=size, now=NOW, days=DAYS))
    _say(f"\n{size:,} x {size:,} orders (raw log made in {filled:.0f} s)")
    began = time.monotonic()
    steps = _run(warehouse, NOW, "--full-refresh")
    wall = time.monotonic() - began
    own = sum(seconds for name, seconds in steps.items() if PART in name)
    _say(f"  full rebuild from the raw log: {wall:.1f} s, of it reconciliation {own:.1f} s")
    _say_steps(steps)
    bare, indexed = _bare_postgres(url)
    _say(f"  bare full outer join in PostgreSQL: {bare:.1f} s, with the mart's indexes {bare + indexed:.1f} s")
    _say(f"  bare full outer join in DuckDB: {_bare_duckdb(url, home):.1f} s")
    _say(f"  reconciliation is {own / (bare + indexed):.1f} times the bare join in PostgreSQL")
    _run(warehouse, NOW)
    best = (float("inf"), {})
    for number in range(1, REFRESHES + 1):
        now = NOW + timedelta(minutes=number)
        refund(url, [1 + (place * (size // CHANGED) + number) % size for place in range(CHANGED)], now=now)
        began = time.monotonic()
        steps = _run(warehouse, now)
        best = min(best, (time.monotonic() - began, steps), key=lambda item: item[0])
    own = sum(seconds for name, seconds in best[1].items() if PART in name)
    _say(f"  refresh after {CHANGED:,} changed keys: {best[0]:.2f} s wall, of it reconciliation {own:.2f} s")
    _say_steps(best[1])
    _say(f"  peak memory of Python: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    return best[0]


def _run(warehouse: Warehouse, now: datetime, *flags: str) -> dict[str, float]:
    """Seconds of each model, in the order in which they ended."""
    views = [] if flags else ["--exclude", "config.materialized:view", "config.materialized:seed"]
    outcome = warehouse.invoke(now, ["build", *flags, *MODELS, *views])
    if not outcome.success:
        raise SystemExit(outcome.exception or [result.message for result in outcome.result if result.message])
    return {result.node.name: result.execution_time for result in outcome.result}


def _bare_postgres(url: str) -> tuple[float, float]:
    with connect(url, autocommit=True, application="bench") as connection:
        # On the terms that the models have.
        for term in SESSION_OPTIONS.split("-c ")[1:]:
            connection.execute("select set_config(%s, %s, false)", term.strip().split("=", 1))
        for side in ("vima", "payshack"):
            connection.execute(SIDES.format(side=side).encode())
            connection.execute(f"vacuum analyze {side}".encode())
        joined = _timed(lambda: connection.execute(JOIN.encode()))
        return joined, _timed(lambda: connection.execute(INDEXES.encode()))


def _bare_duckdb(url: str, home: Path) -> float:
    for side in ("vima", "payshack"):
        with (
            connect(url, application="bench") as connection,
            (home / f"{side}.csv").open("wb") as file,
            connection.cursor().copy(f"copy {side} to stdout (format csv, header)".encode()) as rows,
        ):
            for part in rows:
                file.write(part)
    # A process of its own, so that DuckDB's memory is not counted as ours.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_duckdb_join, home).result()


def _duckdb_join(home: Path) -> float:
    with duckdb.connect(str(home / "bare.duckdb")) as database:
        database.execute("set threads = 2")
        database.execute("set enable_progress_bar = false")
        for side in ("vima", "payshack"):
            types = "{'amount': 'DECIMAL(38, 8)', 'created_at': 'TIMESTAMP', 'updated_at': 'TIMESTAMP'}"
            source = f"read_csv('{home / side}.csv', types = {types})"
            database.execute(f"create table {side} as from {source}")
        return _timed(lambda: database.execute(JOIN))


def _timed(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _say_steps(steps: dict[str, float]) -> None:
    slow = [f"{name} {seconds:.2f}" for name, seconds in steps.items() if seconds >= 0.1]
    _say("    " + ", ".join(slow))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
