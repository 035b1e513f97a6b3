"""How fresh the marts are, as marts.rpt_source_health says, in a form for people and for programs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg

from pipelines.core.postgres import READER, connect
from pipelines.core.redaction import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """One source: rows in the raw log, and the instant up to which all its flows are complete in the marts (UTC)."""

    source: str
    rows: int
    quarantined: int
    watermark: datetime | None
    last_run: str | None
    last_error: str | None

    def lag_seconds(self, now: datetime) -> float | None:
        """Seconds between the watermark and now."""
        return round((now - self.watermark).total_seconds(), 1) if self.watermark else None


def read_health(url: str) -> list[SourceHealth]:
    """Health per source; empty while there are no marts. Raises DatabaseError when the database is not there."""
    with connect(url, role=READER, application="psp-status") as connection:
        try:
            rows = connection.execute(
                "select source, max(rows_total), sum(rows_quarantined),"
                " case when count(watermark) = count(*) then min(watermark) end, max(last_status), max(last_error)"
                " from marts.rpt_source_health group by source order by source desc"
            ).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return []
    return [
        SourceHealth(
            source=source,
            rows=int(total),
            quarantined=int(quarantined),
            watermark=watermark,
            last_run=status,
            last_error=redact(error) if error else None,
        )
        for source, total, quarantined, watermark, status, error in rows
    ]


def count_transactions(url: str) -> int | None:
    """Rows of marts.fct_transactions, None while it does not exist."""
    with connect(url, role=READER, application="psp-status") as connection:
        try:
            row = connection.execute("select count(*) from marts.fct_transactions").fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None
    return int(row[0]) if row else None


def count_raw_rows(url: str) -> int:
    """Rows that the raw log has received, from PostgreSQL's own counters: free at any size, a second late."""
    with connect(url, application="psp-status") as connection:
        row = connection.execute(
            b"select coalesce(sum(n_tup_ins), 0) from pg_stat_user_tables"
            b" where schemaname = 'raw' and (relname like 'vima%%' or relname like 'payshack%%')"
        ).fetchone()
    return int(row[0]) if row else 0


def in_words(health: Iterable[SourceHealth], now: datetime) -> str:
    """One line: rows, completeness and lag per source."""
    parts = []
    for one in health:
        lag = one.lag_seconds(now)
        known = (
            f"to {one.watermark:%H:%M:%S} ({_age(lag)} ago)"
            if one.watermark and lag is not None
            else "not complete yet"
        )
        held = f", {one.quarantined:,} quarantined" if one.quarantined else ""
        trouble = f", last run failed: {one.last_error}" if one.last_run == "failed" else ""
        parts.append(f"{one.source} {one.rows:,} rows {known}{held}{trouble}")
    return "  ·  ".join(parts) or "no marts yet"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
