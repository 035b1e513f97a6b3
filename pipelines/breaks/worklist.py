"""Which breaks there are to work on, most pressing first, from marts.fct_breaks and marts.fct_bank_breaks.

Rows are plain mappings with the columns of the marts; ages are counted to its `evaluated_at`. Amounts are Decimal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from pipelines.breaks.errors import ActionRefused
from pipelines.breaks.ledger import STATES, explained_failures

Row = dict[str, Any]

LIMIT = 10_000
FILTERS = ("state", "severity", "project", "flow", "reason", "owner", "aging_bucket", "close_cause")

# One list of both families. What only the bank's have is null of the others.
BREAKS = """(
    select *, null::text as bank_outcome, null::text as movement_id, null::text as bank_line_id from marts.fct_breaks
    union all
    select * from marts.fct_bank_breaks
) as breaks"""
ORDER = (
    "array_position(array['critical', 'high', 'medium', 'low'], severity), is_tat_breached desc, value_at_risk desc,"
    " opened_at, break_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to list: `values` of a column in FILTERS; without a state only what is open."""

    values: dict[str, Sequence[str]] = field(default_factory=dict)
    is_lapsed: bool | None = None
    proposed: bool = False
    limit: int = 50


def work_list(connection: psycopg.Connection[Any], wanted: Wanted) -> tuple[list[Row], int]:
    """The rows, and how many there would be without the limit. Raises ActionRefused, DatabaseError."""
    unknown = set(wanted.values) - set(FILTERS)
    strange = set(wanted.values.get("state", ())) - set(STATES)
    if unknown or strange or not 1 <= wanted.limit <= LIMIT:
        raise ActionRefused(
            f"{', '.join(sorted(unknown | strange)) or wanted.limit} can not be asked for.",
            fix=f"states are {', '.join(STATES)}; the limit is 1 to {LIMIT}",
        )
    conditions, parameters = ["is_open"] if "state" not in wanted.values else [], dict[str, Any]()
    for name, values in wanted.values.items():
        conditions.append(f"{name} = any(%({name})s)")
        parameters[name] = list(values)
    if wanted.is_lapsed is not None:
        conditions.append("is_lapsed = %(is_lapsed)s")
        parameters["is_lapsed"] = wanted.is_lapsed
    if wanted.proposed:
        conditions.append("proposal is not null")
    where = " and ".join(conditions) or "true"
    query = f"select *, count(*) over () as found from {BREAKS} where {where} order by {ORDER} limit %(limit)s"  # noqa: S608 - names of our own
    with explained_failures(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query.encode(), parameters | {"limit": wanted.limit}).fetchall()
    found = int(rows[0]["found"]) if rows else 0
    for row in rows:
        del row["found"]
    return rows, found


def break_row(connection: psycopg.Connection[Any], break_id: str) -> Row | None:
    """One break with its clocks, or None."""
    with explained_failures(), connection.cursor(row_factory=dict_row) as cursor:
        query = f"select * from {BREAKS} where break_id = %s"  # noqa: S608 - names of our own
        return cursor.execute(query.encode(), (break_id,)).fetchone()
