"""Schema drift: fields of a provider's records that are new, that have vanished, or that changed their type.

    newest RECENT_ROWS versions  against  the BASELINE_ROWS before them  ->  DriftReport

Nothing is remembered and no clock is asked: a change is reported for as long as it is newer than the baseline, so what
was looked at and accepted goes away by itself. Only names and types are read out, never a value.
"""

from dataclasses import dataclass

from psycopg import sql

from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.loading.raw_log import RECORD_TABLES

RECENT_ROWS = 2_000
BASELINE_ROWS = 6_000
MIN_BASELINE_ROWS = 100
EXPECTED_TO_MISS = 20
"""A field has vanished when, by its share in the baseline, at least so many recent rows should have had it."""

DYNAMIC = ("rates",)
"""Objects whose keys are data, such as currency pairs: they count as one field."""

Counts = dict[str, dict[str, int]]
"""Rows by path and JSON type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retyped:
    """A field that comes with a type that it never had; null does not count."""

    path: str
    before: tuple[str, ...]
    now: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """Paths such as `card_finish[].charged_fee`. Empty lists, or too few rows to tell, mean no drift."""

    table: str
    recent_rows: int
    baseline_rows: int
    new: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    retyped: tuple[Retyped, ...] = ()

    @property
    def has_drift(self) -> bool:
        """Whether somebody should look at the provider's records."""
        return bool(self.new or self.vanished or self.retyped)


def schema_drift(settings: Settings, table: str) -> DriftReport:
    """How the newest records of raw.`table` differ in shape from those before them. Raises DatabaseError."""
    if table not in RECORD_TABLES:
        raise ValueError(f"{table} is no table of the raw log")
    statement = sql.SQL(_SHAPES).format(table=sql.Identifier(table))
    asked = {"recent": RECENT_ROWS, "all": RECENT_ROWS + BASELINE_ROWS, "dynamic": list(DYNAMIC)}
    with connect(database_url(settings), role=LOADER, application="psp-drift") as connection:
        rows = connection.execute(statement, asked).fetchall()
    recent, baseline = _counts(rows, is_recent=True), _counts(rows, is_recent=False)
    recent_rows, baseline_rows = (sum(counts.pop("", {}).values()) for counts in (recent, baseline))
    if baseline_rows < MIN_BASELINE_ROWS:
        return DriftReport(table=table, recent_rows=recent_rows, baseline_rows=baseline_rows)
    return DriftReport(
        table=table,
        recent_rows=recent_rows,
        baseline_rows=baseline_rows,
        new=tuple(sorted(path for path in recent if path not in baseline)),
        vanished=tuple(
            sorted(
                path
                for path, types in baseline.items()
                if path not in recent and sum(types.values()) * recent_rows >= EXPECTED_TO_MISS * baseline_rows
            )
        ),
        retyped=_retyped(baseline, recent),
    )


def _counts(rows: list[tuple[bool, str, str, int]], *, is_recent: bool) -> Counts:
    counts: Counts = {}
    for row_is_recent, path, kind, count in rows:
        if row_is_recent == is_recent:
            counts.setdefault(path, {})[kind] = count
    return counts


def _retyped(baseline: Counts, recent: Counts) -> tuple[Retyped, ...]:
    found = []
    for path in sorted(baseline.keys() & recent.keys()):
        before, now = (tuple(sorted(counts[path].keys() - {"null"})) for counts in (baseline, recent))
        if before and not set(now) <= set(before):
            found.append(Retyped(path=path, before=before, now=now))
    return tuple(found)


# The newest rows by transaction, through its index. The whole record counts as the field with the empty path.
_SHAPES = """
with recursive newest as (
    select payload, row_number() over (order by loaded_xid desc, record_id, content_hash) as place
    from raw.{table}
    order by loaded_xid desc, record_id, content_hash
    limit %(all)s
),

fields as (
    select place, ''::text as path, payload as value from newest
    union all
    select fields.place, step.path, step.value
    from fields
    cross join lateral (
        select
            case when fields.path = '' then member.key else fields.path || '.' || member.key end as path,
            member.value
        from jsonb_each(case when jsonb_typeof(fields.value) = 'object' then fields.value else '{{}}' end) as member
        where not (regexp_replace(fields.path, '^.*\\.', '') = any(%(dynamic)s))
        union all
        select fields.path || '[]', element.value
        from jsonb_array_elements(
            case when jsonb_typeof(fields.value) = 'array' then fields.value else '[]' end
        ) as element
    ) as step
)

select place <= %(recent)s as is_recent, path, jsonb_typeof(value) as kind, count(distinct place)
from fields
group by 1, 2, 3
"""
