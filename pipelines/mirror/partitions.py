"""Which parts of a mart have changed since the mirror was last refreshed.

    fact with changed_xid  -> days of rows that newer transactions wrote, and days whose number of rows differs
    other mart             -> days, or the whole of it, whose fingerprint differs

A row that went, or moved to another day, leaves its old day with fewer rows, or with a newer row in its place: either
way that day is written again. Marts without `changed_xid` are reports: small, so that reading them is cheap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

WHOLE, UNDATED = "whole", "undated"
"""The one part of a mart that has no business date, and the part of the rows that have none."""

MARTS = """
select
    class.relname as name,
    coalesce(bool_or(attribute.attname = 'business_date'), false) as is_dated,
    -- A view may show what no transaction has written, such as an age.
    coalesce(bool_or(attribute.attname = 'changed_xid' and class.relkind = 'r'), false) as is_tracked
from pg_class as class
inner join pg_namespace as namespace on class.relnamespace = namespace.oid
left join pg_attribute as attribute
    on class.oid = attribute.attrelid and attribute.attnum > 0 and not attribute.attisdropped
where namespace.nspname = 'marts' and class.relkind in ('r', 'v', 'm') and class.relname !~ '__dbt_'
group by class.relname
order by class.relname
"""
DAY = sql.SQL("coalesce(business_date::text, 'undated')")
COUNTS = sql.SQL("select {}, count(*)::text from {} group by business_date")
TOUCHED = sql.SQL("select distinct {} from {} where changed_xid >= %(since)s")
FINGERPRINTS = sql.SQL(
    "select {}, count(*) || ' ' || coalesce(sum(hashtextextended(mart::text, 0)::numeric), 0)"
    " from {} as mart group by 1"
)


@dataclass(frozen=True, slots=True)
class Mart:
    """A relation of schema marts: whether it is cut by business date, and whether its rows know who wrote them."""

    name: str
    is_dated: bool
    is_tracked: bool

    @property
    def relation(self) -> sql.Identifier:
        """It with its schema."""
        return sql.Identifier("marts", self.name)


def marts(connection: psycopg.Connection[Any]) -> list[Mart]:
    """All of them, by name."""
    return [Mart(*row) for row in connection.execute(MARTS).fetchall()]


def horizon(connection: psycopg.Connection[Any]) -> int:
    """The oldest transaction that this snapshot may not see: rows from there on are looked at again next time."""
    row = connection.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    return int(row[0]) if row else 0


def stamps(connection: psycopg.Connection[Any], mart: Mart) -> dict[str, str]:
    """Each part and what tells whether it has changed: its number of rows, or a fingerprint of them."""
    if mart.is_dated and mart.is_tracked:
        query = COUNTS.format(DAY, mart.relation)
    else:
        part: sql.Composable = DAY if mart.is_dated else sql.Literal(WHOLE)
        query = FINGERPRINTS.format(part, mart.relation)
    return {str(part): str(stamp) for part, stamp in connection.execute(query).fetchall()}


def changed_parts(
    connection: psycopg.Connection[Any],
    mart: Mart,
    *,
    now: Mapping[str, str],
    known: Mapping[str, str],
    since: int | None,
) -> set[str]:
    """Parts to be written, out of `now`; all where nothing is known. `since`: the horizon of the last refresh."""
    changed = {part for part, stamp in now.items() if known.get(part) != stamp}
    if mart.is_dated and mart.is_tracked:
        if since is None or since > horizon(connection):
            # Never mirrored, or a restored database, which counts its transactions anew.
            return set(now)
        touched: Iterable[Any] = connection.execute(TOUCHED.format(DAY, mart.relation), {"since": since}).fetchall()
        changed |= {str(row[0]) for row in touched} & now.keys()
    return changed
