"""Marts of any size for benchmarks: a small modelled world, multiplied inside the database.

`python -m tests.bench.big_marts --transactions 1000000 --home FOLDER` leaves a server with them running; the other
benchmarks make their own through `big_marts` and remove it.

Rows are those that the models made of 240 invented orders, copied with other ids, days and projects; every column that
is not renamed keeps its value, so outcomes, statuses and amounts are spread as in the small world. The reports are then
built by dbt from the facts, so that they add up.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pipelines.core import embedded_postgres
from pipelines.core.postgres import connect, prepare_warehouse
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import run_models
from tests.integration.sidecar.conftest import NOW, fill_raw

DAYS_OF_BASE, SPANS, PROJECTS = 5, 18, 20
"""The base world has five business dates; eighteen such spans are a quarter of a year."""

FACTS = {
    "fct_transactions": ("transaction_id", "source_txn_id", "order_key", "utr", "rrn"),
    "fct_transaction_versions": ("version_id", "transaction_id", "source_txn_id", "order_key"),
    "fct_reconciliation": (
        "reconciliation_id",
        "reconciliation_key",
        "order_key",
        "vima_transaction_id",
        "payshack_transaction_id",
    ),
}
"""Facts, and the columns that tell their rows apart."""

REPORTS = (
    "rpt_reconciliation_daily",
    "fct_transaction_outcomes",
    "fct_metrics_5m",
    "fct_metrics_hourly",
    "fct_metrics_daily",
    "fct_failures_hourly",
    "fct_reconciliation_hourly",
    "fct_segments_daily",
    "rpt_trust",
)
"""What is added up from the facts; everything else is a view over these, or of no consequence for what is measured."""


@contextmanager
def big_marts(transactions: int, home: Path | None = None) -> Iterator[Settings]:
    """Settings over a server of its own with so many transactions, stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="psp-bench-") as folder:
        settings = build(transactions, home or Path(folder))
        try:
            yield settings
        finally:
            embedded_postgres.stop(settings)


def running_marts(home: Path) -> Settings:
    """Settings over the marts of a server that runs already."""
    url = embedded_postgres.start(load_settings({"PSP_HOME": str(home)}))
    return load_settings({"PSP_HOME": str(home), "PSP_DATABASE_URL": url, "PSP_NOW": NOW.isoformat()})


def build(transactions: int, home: Path) -> Settings:
    """Make the marts in the embedded server of `home`, and say how long it took."""
    began = time.monotonic()
    plain = load_settings({"PSP_HOME": str(home)})
    url = embedded_postgres.start(plain)
    settings = load_settings({"PSP_HOME": str(home), "PSP_DATABASE_URL": url, "PSP_NOW": NOW.isoformat()})
    prepare_warehouse(url)
    fill_raw(url)
    project = parsed_project(settings)
    run_models(settings, project=project, depth="models")
    with connect(url, autocommit=True) as connection:
        base = _count(connection, "fct_transactions")
        copies = max(1, round(transactions / base) - 1)
        for fact, names in FACTS.items():
            _multiply(connection, fact, names, copies)
        found = _count(connection, "fct_transactions")
    report = run_models(settings, project=project, depth="models", select=REPORTS)
    left = set(REPORTS) - {node.name for node in report.nodes}
    assert not left, f"not built again: {sorted(left)}"
    with connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    sys.stdout.write(f"{found:,} transactions made in {time.monotonic() - began:.0f} s\n")
    return settings


def _count(connection: psycopg.Connection, fact: str) -> int:
    row = connection.execute(sql.SQL("select count(*) from marts.{}").format(sql.Identifier(fact))).fetchone()
    return int(row[0]) if row else 0


def _multiply(connection: psycopg.Connection, fact: str, names: tuple[str, ...], copies: int) -> None:
    """Add `copies` copies of every row. Indexes are made anew afterwards, which is quicker."""
    described = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (f"marts.{fact}",),
    ).fetchall()
    indexes = connection.execute(
        "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " where indrelid = %s::regclass and not exists (select from pg_constraint where conindid = indexrelid)",
        (f"marts.{fact}",),
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("drop index {}").format(sql.SQL(name)))
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in described)
    values = sql.SQL(", ").join(_value(name, kind, names) for name, kind in described)
    connection.execute(
        sql.SQL(
            "insert into marts.{} ({}) select {} from marts.{} as base, generate_series(1, {}) as copy (number)"
        ).format(sql.Identifier(fact), columns, values, sql.Identifier(fact), sql.Literal(copies))
    )
    for _, definition in indexes:
        connection.execute(sql.SQL(definition))


def _value(name: str, kind: str, names: tuple[str, ...]) -> sql.Composable:
    column = sql.SQL("base.{}").format(sql.Identifier(name))
    back = sql.SQL("(copy.number % {}) * {}").format(sql.Literal(SPANS), sql.Literal(DAYS_OF_BASE))
    if name in names:
        return sql.SQL("{} || '-' || copy.number").format(column)
    if name == "project":
        return sql.SQL("{} || '-' || copy.number % {}").format(column, sql.Literal(PROJECTS))
    if name == "changed_xid":
        return sql.SQL("pg_current_xact_id()::text::bigint")
    if kind == "date":
        return sql.SQL("{} - {}").format(column, back)
    if kind.startswith("timestamp"):
        return sql.SQL("{} - make_interval(days => {}) + copy.number * interval '1 ms'").format(column, back)
    return column


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="leave the server running there; without it, it is removed again")
    asked: Any = parser.parse_args()
    if asked.home:
        build(asked.transactions, asked.home)
    else:
        with big_marts(asked.transactions):
            pass


if __name__ == "__main__":
    main()
