"""Telling whoever listens how fresh the marts are: one NOTIFY per source and flow, after a run of the models
and when a quiet source is found to be complete.

Payload, JSON: source, flow, rows (in the raw log), watermark (UTC instant up to which the source is known complete, or
null), lag_seconds (now less watermark), as_of (now). The data's time is told, not the run's.
"""

import json
from dataclasses import asdict, dataclass

from pipelines.core.postgres import FRESHNESS_CHANNEL, READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How fresh one flow of one source is. Instants are ISO 8601 in UTC."""

    source: str
    flow: str
    rows: int
    watermark: str | None
    lag_seconds: float | None
    as_of: str


def announce_freshness(settings: Settings, *, source: str | None = None) -> list[Freshness]:
    """Send one message per flow of `source`, else of every source, in one transaction. Returns what was sent."""
    now = settings.clock()
    with connect(database_url(settings), role=READER, application="psp-freshness") as connection:
        rows = connection.execute(
            "select source, flow, rows_total, watermark from marts.rpt_source_health"
            " where %(source)s::text is null or source = %(source)s order by source, flow",
            {"source": source},
        ).fetchall()
        messages = [
            Freshness(
                source=name,
                flow=flow,
                rows=int(rows_total),
                watermark=watermark.isoformat() if watermark else None,
                lag_seconds=round((now - watermark).total_seconds(), 3) if watermark else None,
                as_of=now.isoformat(),
            )
            for name, flow, rows_total, watermark in rows
        ]
        for message in messages:
            connection.execute("select pg_notify(%s, %s)", (FRESHNESS_CHANNEL, json.dumps(asdict(message))))
    return messages
