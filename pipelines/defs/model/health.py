"""While a source is quiet, its row in marts.rpt_source_health moves with its watermark, without a run of the models.

    sensor: nothing new -> raw.source_watermarks moves -> the models have seen every raw row -> rpt_source_health, ping

Nothing came, so the marts are complete up to that instant as they stand: without this they would be called stale only
because nobody paid. As soon as one raw row waits for the models, or they run, the row is left to them.
"""

import psycopg

from pipelines.core.postgres import TRANSFORMER, advisory_key, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.pending import has_unprocessed_rows


def confirm_source_health(settings: Settings, source: str) -> bool:
    """Bring the mart's watermarks of `source` up to those of the raw log; whether that was done. Raises DatabaseError.

    False while the models run or have not seen everything, and before they have first run.
    """
    with connect(database_url(settings), role=TRANSFORMER, application="psp-watch") as connection:
        # One moment for both questions: rows that came with a newer watermark must be seen as well.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        # The models' own lock (defs/model/runner.py), for the length of this transaction and only if it is free.
        free = connection.execute("select pg_try_advisory_xact_lock(%s)", (advisory_key("dbt"),)).fetchone()
        exists = connection.execute("select to_regclass('marts.rpt_source_health') is not null").fetchone()
        if not (free and free[0] and exists and exists[0]) or has_unprocessed_rows(connection):
            return False
        now = settings.clock()
        moved = connection.execute(
            "update marts.rpt_source_health as health set watermark = known.watermark, evaluated_at = %(now)s,"
            " lag_seconds = extract(epoch from %(now)s - known.watermark)"
            " from raw.source_watermarks as known"
            " where known.source = health.source and known.flow = health.flow and health.source = %(source)s"
            " and known.watermark > health.watermark",
            {"now": now, "source": source},
        )
        return moved.rowcount > 0
