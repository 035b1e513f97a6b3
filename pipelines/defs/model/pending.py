"""What waits for a run of the models although no feed brings it: time that has passed, and rows loaded without them.

    marts.fct_reconciliation   rows whose grace or TTL is over, or whose other source is now complete past them
    breaks.state               decisions of people, which the reports of their days do not say yet
    raw.*                      rows committed after what every model has processed: backfills, a model run that failed

Cheap: index look-ups only. Usable without Dagster.
"""

from dataclasses import dataclass
from datetime import timedelta

import psycopg

from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

COUNTED_UP_TO = 1000

DUE = """
select count(*)
from (
    select 1
    from marts.fct_reconciliation
    where review_at <= %(now)s - %(patience)s
    union all
    select 1
    from raw.source_watermarks as watermarks
    inner join marts.fct_reconciliation as mart
        on
            watermarks.source = mart.awaited_source
            and watermarks.flow = mart.flow
            and mart.awaited_watermark <= watermarks.watermark - %(patience)s
    union all
    -- What a person has decided since the models last ran, which reports do not say yet.
    select 1
    from breaks.state as decided
    inner join breaks.clock
        on decided.last_event_at > clock.evaluated_at
    where
        decided.decision is not null
        and decided.last_event_at <= %(now)s - %(patience)s
        and decided.changed_xid >= (
            select processed_xid from intermediate.model_state where model = 'rpt_bridge_daily'
        )
    limit %(count)s
) as due
"""

NEWEST_LOADED = """
select greatest(
    (select max(loaded_xid) from raw.vima_operations),
    (select max(loaded_xid) from raw.payshack_payins),
    (select max(loaded_xid) from raw.payshack_payouts),
    (select max(loaded_xid) from raw.quarantine)
)
"""

OLDEST_PROCESSED = "select min(processed_xid) from intermediate.model_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingWork:
    """`due_rows` counts up to COUNTED_UP_TO. `newest_loaded` is the transaction of the newest raw row, else 0."""

    due_rows: int
    newest_loaded: int
    oldest_processed: int

    @property
    def has_unprocessed_rows(self) -> bool:
        """Whether some model may not have seen some raw row; true a while too long when a transaction stays open."""
        return self.newest_loaded > 0 and self.newest_loaded >= self.oldest_processed


def has_unprocessed_rows(connection: psycopg.Connection) -> bool:
    """The same, asked over an open connection."""
    newest, processed = (connection.execute(query).fetchone() for query in (NEWEST_LOADED, OLDEST_PROCESSED))
    return PendingWork(
        due_rows=0,
        newest_loaded=(newest[0] if newest else None) or 0,
        oldest_processed=(processed[0] if processed else None) or 0,
    ).has_unprocessed_rows


def pending_work(settings: Settings, *, patience: timedelta) -> PendingWork:
    """What waits; rows count as due once they have been due for `patience`. Raises DatabaseError."""
    terms = {"now": settings.clock(), "patience": patience, "count": COUNTED_UP_TO}
    with connect(database_url(settings), role=TRANSFORMER, autocommit=True, application="psp-watch") as connection:
        newest = connection.execute(NEWEST_LOADED).fetchone()
        processed = connection.execute(OLDEST_PROCESSED).fetchone()
        try:
            due = connection.execute(DUE, terms).fetchone()
        except psycopg.errors.UndefinedTable:
            due = None  # nothing has been built yet
        return PendingWork(
            due_rows=due[0] if due else 0,
            newest_loaded=(newest[0] if newest else None) or 0,
            oldest_processed=(processed[0] if processed else None) or 0,
        )
