"""The mirror beside PostgreSQL at 3 M transactions: `python -m tests.bench.mirror`.

    refresh    the first one, one without changes, and one after a day has changed
    question   success by project, method and hour, with quantiles of the amount, over the whole history, asked of both

Both answers are compared, to the last digit.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.mirror.refresh import mirror_folder, refresh_mirror
from tests.bench.big_marts import big_marts, running_marts

QUESTION = """
select
    project,
    payment_method,
    extract(hour from created_at) as hour,
    count(*) as created,
    count(*) filter (where status = 'success') as succeeded,
    sum(amount) as amount,
    percentile_disc(0.5) within group (order by amount) as median,
    count(distinct merchant) as merchants
from {schema}fct_transactions
group by project, payment_method, extract(hour from created_at)
order by project, payment_method, hour
"""


def main() -> int:
    """Print the figures; exit code 1 when the two engines disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=3_000_000)
    parser.add_argument("--home", type=Path, help="of a server that tests.bench.big_marts has left running")
    asked = parser.parse_args()
    with ExitStack() as stack:
        settings = running_marts(asked.home) if asked.home else stack.enter_context(big_marts(asked.transactions))
        _refreshes(settings)
        row_store, row_seconds = _timed(lambda: _in_postgres(settings))
        columns, column_seconds = _timed(lambda: _in_duckdb(settings))
    sys.stdout.write(f"question: PostgreSQL {row_seconds:.2f} s, DuckDB over the mirror {column_seconds:.2f} s\n")
    # Sorted here: each engine has its own order of letters.
    same = sorted(map(_plain, row_store)) == sorted(map(_plain, columns))
    sys.stdout.write(f"{'ok  ' if same else 'FAIL'} both answer the same {len(row_store):,} rows\n")
    return 0 if same else 1


def _refreshes(settings: Settings) -> None:
    for name, full in (("first", True), ("no change", False)):
        _tell(name, refresh_mirror(settings, full=full))
    with connect(database_url(settings), autocommit=True) as connection:
        connection.execute(
            "update marts.fct_transactions set changed_xid = pg_current_xact_id()::text::bigint where transaction_id ="
            " (select transaction_id from marts.fct_transactions limit 1)"
        )
    _tell("one day", refresh_mirror(settings))


def _tell(name: str, report: Any) -> None:
    written = f"{report.parts_written:,} of {report.parts:,} files, {report.rows_written:,} of {report.rows:,} rows"
    sys.stdout.write(f"refresh, {name}: {report.seconds:.1f} s, {written}, {report.bytes_written / 1e6:.0f} MB\n")
    sys.stdout.flush()


def _timed(ask: Callable[[], list[tuple[Any, ...]]]) -> tuple[list[tuple[Any, ...]], float]:
    """The answer, and the better of two tries: the first may find cold caches, on either side."""
    seconds = []
    for _ in range(2):
        began = time.monotonic()
        answer = ask()
        seconds.append(time.monotonic() - began)
    return answer, min(seconds)


def _in_postgres(settings: Settings) -> list[tuple[Any, ...]]:
    with connect(database_url(settings), role=READER) as connection:
        return connection.execute(QUESTION.format(schema="marts.").encode()).fetchall()


def _in_duckdb(settings: Settings) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(mirror_folder(settings) / "marts.duckdb"), read_only=True) as mirror:
        mirror.execute("set timezone = 'UTC'")
        return mirror.execute(QUESTION.format(schema="")).fetchall()


def _plain(row: tuple[Any, ...]) -> list[str]:
    """Numbers by their value, however an engine types them."""
    numbers = [Decimal(value) if isinstance(value, int | Decimal) else value for value in row]
    return [format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in numbers]


if __name__ == "__main__":
    sys.exit(main())
