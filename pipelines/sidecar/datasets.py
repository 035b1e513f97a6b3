"""What can be exported, and how each column stands in a file: exact, in UTC, and never a formula.

In every column that is text, a cell that a spreadsheet would take for a formula is disarmed with a ' in front: one that
begins, after blanks, with = + - @, one of their full-width forms or a control character. Numbers are not text and stay
as they are, also negative ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from pipelines.sidecar.answers import Strict
from pipelines.sidecar.filters import Filters, MetricFilters, ReconciliationFilters, TransactionFilters
from pipelines.sidecar.shapes import DailyMetrics, Reconciliation, Transaction
from pipelines.sidecar.workbook import Column, Kind

What = Literal["transactions", "reconciliation", "metrics"]

# By PostgreSQL's own type, so that a column of a kind that is not thought of here becomes text, and is disarmed.
KINDS: Mapping[str, Kind] = {
    "numeric": "number",
    "int2": "number",
    "int4": "number",
    "int8": "number",
    "float8": "number",
    "date": "date",
    "timestamptz": "instant",
    "bool": "boolean",
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What can be exported, in an order that is total, so that the same rows give the same file."""

    mart: str
    row: type[Strict]
    filters: type[Filters]
    order: tuple[str, ...]

    @property
    def relation(self) -> sql.Identifier:
        """The mart with its schema."""
        return sql.Identifier("marts", self.mart)

    @property
    def ordering(self) -> sql.Composed:
        """What `order by` holds."""
        return sql.SQL(", ").join(sql.Identifier(name) for name in self.order)


DATASETS: Mapping[What, Dataset] = {
    "transactions": Dataset("fct_transactions", Transaction, TransactionFilters, ("created_at", "transaction_id")),
    "reconciliation": Dataset(
        "fct_reconciliation", Reconciliation, ReconciliationFilters, ("business_date", "reconciliation_id")
    ),
    "metrics": Dataset(
        "rpt_metrics_daily",
        DailyMetrics,
        MetricFilters,
        ("business_date", "source", "project", "flow", "payment_method", "currency"),
    ),
}


def described(connection: psycopg.Connection[Any], dataset: Dataset) -> tuple[list[Column], sql.Composed]:
    """The columns by the types that the mart really has, and the select list that writes them."""
    names = [sql.Identifier(name) for name in dataset.row.model_fields]
    probe = sql.SQL("select {} from {} limit 0").format(sql.SQL(", ").join(names), dataset.relation)
    columns: list[Column] = []
    selected: list[sql.Composable] = []
    for name, found in zip(names, connection.execute(probe).description or [], strict=True):
        of_type = connection.adapters.types[found.type_code]
        is_array = found.type_code == of_type.array_oid
        kind: Kind = "text" if is_array else KINDS.get(of_type.name, "text")
        columns.append(Column(found.name, kind))
        selected.append(sql.SQL("{} as {}").format(_expression(name, kind, is_array=is_array), name))
    return columns, sql.SQL(", ").join(selected)


def _expression(name: sql.Identifier, kind: Kind, *, is_array: bool) -> sql.Composable:
    """A column as it stands in the file."""
    if kind == "instant":
        return sql.SQL("replace(({} at time zone 'UTC')::text, ' ', 'T') || 'Z'").format(name)
    if kind == "boolean":
        return sql.SQL("{}::text").format(name)
    if kind == "text":
        text = sql.SQL("array_to_string({}, '; ')" if is_array else "{}::text").format(name)
        return _disarmed(text)
    return name


def _disarmed(text: sql.Composable) -> sql.Composable:
    """Text that no spreadsheet takes for a formula.

    The first comparisons are there for speed: they let letters and digits pass without the pattern, and make the guard
    cost a tenth of the export instead of half of it.
    """
    return sql.SQL(
        r"case when ascii({0}) not between 65 and 122 and ascii({0}) not between 48 and 57"
        r" and {0} ~ '^\s*[-=+@\uff1d\uff0b\uff0d\uff20\u0001-\u001f\u007f]' then '''' || {0} else {0} end"
    ).format(text)
