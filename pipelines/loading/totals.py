"""Does the raw log hold, for each day that was over when it was read, as many records as the source itself counted?

    raw.window_passes (the source's own total)  against  distinct ids of that day in raw.* and raw.quarantine

Fewer in the log: something was lost on the way. More: the source no longer lists what it had shown before, or cuts its
days in another time zone than UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime

from psycopg import sql

from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

WINDOW_TABLES = ("vima_operations", "payshack_payins", "payshack_payouts")
"""Streams whose days are counted. Vima tells no total; there the count is that of its own reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """One closed UTC created day: ids by the source's total, and ids of that day known when it was read."""

    day: date
    source_total: int
    raw_ids: int

    @property
    def lost(self) -> int:
        """How many the source has and the log has not."""
        return max(self.source_total - self.raw_ids, 0)

    @property
    def unlisted(self) -> int:
        """How many the log has and the source does not list any more."""
        return max(self.raw_ids - self.source_total, 0)


def closed_days(settings: Settings, table: str, *, read_since: datetime) -> list[DayCount]:
    """The closed days of raw.`table` read to their end since then, oldest first. Raises DatabaseError."""
    if table not in WINDOW_TABLES:
        raise ValueError(f"{table} is not read by days")
    statement = sql.SQL(_COUNTS).format(table=sql.Identifier(table))
    with connect(database_url(settings), role=LOADER, application="psp-totals") as connection:
        rows = connection.execute(statement, {"stream": table, "since": read_since}).fetchall()
    return [DayCount(day=day, source_total=int(total), raw_ids=int(ids)) for day, total, ids in rows]


# A record that cannot be trusted is counted by its id, else by its content; one without a readable creation time by the
# day under which it was read.
_COUNTS = """
with passes as (
    select
        window_date,
        total_records,
        completed_at,
        window_date::timestamp at time zone 'UTC' as opened_at,
        (window_date + 1)::timestamp at time zone 'UTC' as closed_at
    from raw.window_passes
    where stream = %(stream)s and completed_at >= %(since)s
        and started_at >= (window_date + 1)::timestamp at time zone 'UTC'
),

known as (
    select passes.window_date, logged.record_id as identity
    from passes
    inner join raw.{table} as logged
        on logged.source_created_at >= passes.opened_at and logged.source_created_at < passes.closed_at
    where logged.observed_at <= passes.completed_at
    union
    select passes.window_date, logged.record_id
    from passes
    inner join raw.{table} as logged
        on logged.source_created_at is null and logged.load_scope = passes.window_date::text
    union
    select passes.window_date, coalesce(bad.record_id, bad.content_hash)
    from passes
    inner join raw.quarantine as bad
        on bad.source_table = %(stream)s and bad.observed_at <= passes.completed_at
            and (
                (bad.source_created_at >= passes.opened_at and bad.source_created_at < passes.closed_at)
                or (bad.source_created_at is null and bad.load_scope = passes.window_date::text)
            )
)

select passes.window_date, passes.total_records, count(known.identity)
from passes
left join known on passes.window_date = known.window_date
group by passes.window_date, passes.total_records
order by passes.window_date
"""
