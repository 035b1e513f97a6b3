"""A card's rows from the marts, read-only, as a fixed role: how check, preview and scheduled files ask the database.

Card, values by tag -> templates.render -> one statement -> columns with their kinds, rows
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import psycopg
from psycopg import sql

from pipelines.core.errors import DashboardError
from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.dashboards.entities import Card, Field
from pipelines.dashboards.templates import Values, render

Kind = Literal["number", "date", "instant", "boolean", "text"]
KINDS: dict[str, Kind] = {
    "numeric": "number",
    "int2": "number",
    "int4": "number",
    "int8": "number",
    "float8": "number",
    "date": "date",
    "timestamptz": "instant",
    "bool": "boolean",
}
STATEMENT_SECONDS = 30
ROW_LIMIT = 2000
"""What Metabase shows of a table as well; a card that has more says so."""

CHOICES_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a card. `more` says that the limit cut them."""

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: Sequence[tuple[Any, ...]]
    milliseconds: float
    more: bool = False

    def kind(self, column: str) -> Kind:
        """The kind of a column."""
        return self.kinds[self.columns.index(column)]

    def values(self, column: str) -> list[Any]:
        """All values of a column, in order."""
        at = self.columns.index(column)
        return [row[at] for row in self.rows]


@contextmanager
def reading(settings: Settings, *, seconds: int = STATEMENT_SECONDS) -> Iterator[psycopg.Connection[Any]]:
    """One snapshot of the marts, as psp_reader, that nothing can be written through. Raises DatabaseError."""
    with connect(database_url(settings), role=READER, application="psp-dashboards") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute(sql.SQL("set local statement_timeout = {}").format(sql.Literal(f"{seconds}s")))
        # Metabase asks in its report time zone, which the provisioner sets to this: hours of a day are those of people.
        zone = settings.psp_business_timezone
        connection.execute(sql.SQL("set local timezone = {}").format(sql.Literal(zone)))
        # Metabase stops reading after so many rows, of a query that is planned as if it would read all.
        connection.execute("set local cursor_tuple_fraction = 1")
        yield connection
        connection.rollback()


def business_today(settings: Settings) -> date:
    """The business date of now: what `past7days` counts from."""
    return settings.clock().astimezone(settings.business_zone).date()


def run_card(
    connection: psycopg.Connection[Any], card: Card, values: Values, today: date, *, limit: int | None = ROW_LIMIT
) -> Result:
    """Rows of the card, at most `limit`. Raises DashboardError with PostgreSQL's words when the query fails."""
    statement = render(card, values, today)
    began = time.perf_counter()
    try:
        with connection.transaction(), _cursor(connection, limit) as cursor:
            cursor.execute(statement.text.encode(), statement.parameters)
            rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit + 1)
            columns, kinds = _described(connection, cursor.description or [])
    except psycopg.Error as error:
        told = error.diag.message_primary or type(error).__name__
        raise DashboardError(f"{card.name}: {told}.", fix=f"correct the query in {card.path.name}") from None
    spent = (time.perf_counter() - began) * 1000
    more = limit is not None and len(rows) > limit
    return Result(columns, kinds, rows[:limit] if more else rows, spent, more)


def _cursor(
    connection: psycopg.Connection[Any], limit: int | None
) -> psycopg.Cursor[tuple[Any, ...]] | psycopg.ServerCursor[tuple[Any, ...]]:
    """Where only the first rows are wanted the others stay in the server."""
    return connection.cursor() if limit is None else connection.cursor(name="card")


def _described(
    connection: psycopg.Connection[Any], description: Sequence[Any]
) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    names = tuple(column.name for column in description)
    kinds: list[Kind] = []
    for column in description:
        found = connection.adapters.types.get(column.type_code)
        known = found is not None and column.type_code != found.array_oid
        kinds.append(KINDS.get(found.name, "text") if found is not None and known else "text")
    return names, tuple(kinds)


def choices(connection: psycopg.Connection[Any], field: Field) -> list[str]:
    """Values of a field, most frequent first would need a scan: sorted, at most CHOICES_LIMIT.

    Walks the index value by value where there is one, so it costs the number of values and not that of rows.
    """
    column, table = sql.Identifier(field.column), sql.Identifier(field.schema, field.table)
    query = sql.SQL(
        """
        with recursive found (value) as (
            (select min({column}) from {table})
            union all
            select (select min({column}) from {table} where {column} > found.value)
            from found
            where found.value is not null
        )
        select value::text from found where value is not null limit {limit}
        """
    ).format(column=column, table=table, limit=sql.Literal(CHOICES_LIMIT))
    return [row[0] for row in connection.execute(query).fetchall()]
