"""What is known complete: the watermark of a source and flow, the days read to their end, and those half read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql

from pipelines.core.postgres import LOADER, connect


def move_watermark(url: str, source: str, flow: str, watermark: datetime | None, now: datetime) -> datetime:
    """Set the instant up to which a complete pass has succeeded; it never moves back. Returns the one that holds."""
    if watermark is None:
        raise ValueError("a watermark needs the instant of a complete pass")
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "insert into raw.source_watermarks as known (source, flow, watermark, updated_at) values (%s, %s, %s, %s)"
            " on conflict (source, flow) do update"
            " set watermark = greatest(known.watermark, excluded.watermark), updated_at = excluded.updated_at"
            " returning watermark",
            (source, flow, watermark, now),
        ).fetchone()
    if row is None:
        raise RuntimeError("PostgreSQL returned no row for an upsert")
    return row[0]  # type: ignore[no-any-return]


def confirm_watermark(url: str, source: str, flow: str, watermark: datetime, now: datetime) -> None:
    """Move a watermark to an instant at which nothing was new; a source never read to its end gets none by that."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        connection.execute(
            "update raw.source_watermarks set watermark = %s, updated_at = %s"
            " where source = %s and flow = %s and watermark < %s",
            (watermark, now, source, flow, watermark),
        )


RESUME_WITHIN = timedelta(hours=6)
"""An older interrupted reading starts anew: the states that its first part saw are too old."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where an interrupted reading of a day goes on, and when it first began."""

    position: int
    started_at: datetime


def resume_window(url: str, source: str, stream: str, day: date, now: datetime) -> Resumed | None:
    """The interrupted reading of `day` to go on with; None after making sure that one from the start is recorded."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "select position, started_at from raw.window_progress"
            " where source = %s and stream = %s and window_date = %s and position is not null",
            (source, stream, day),
        ).fetchone()
        if row is None:
            return None
        if row[1] > now - RESUME_WITHIN:
            return Resumed(int(row[0]), row[1])
        _end_progress(connection, source, stream, day)
        return None


def _end_progress(connection: psycopg.Connection, source: str, stream: str, day: date) -> None:
    connection.execute(
        "update raw.window_progress set position = null where source = %s and stream = %s and window_date = %s",
        (source, stream, day),
    )


def record_window_pass(
    url: str,
    source: str,
    stream: str,
    day: date,
    *,
    total: int,
    distinct: int,
    started_at: datetime,
    ended_at: datetime,
) -> None:
    """Remember that every record of one UTC created day has been read, and when; nothing of it is left to resume."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        connection.execute(
            "insert into raw.window_passes as known"
            " (source, stream, window_date, total_records, distinct_records, started_at, completed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (source, stream, window_date) do update set"
            " total_records = excluded.total_records, distinct_records = excluded.distinct_records,"
            " started_at = excluded.started_at, completed_at = excluded.completed_at"
            " where excluded.started_at >= known.started_at",
            (source, stream, day, total, distinct, started_at, ended_at),
        )
        _end_progress(connection, source, stream, day)


def records_of_day(url: str, table: str, day: date) -> int:
    """How many records created on one UTC day the raw log holds, in whatever number of versions."""
    statement = sql.SQL(
        "select count(distinct record_id) from raw.{table}"
        " where source_created_at >= %(day)s::date::timestamp at time zone 'UTC'"
        " and source_created_at < (%(day)s::date + 1)::timestamp at time zone 'UTC'"
    ).format(table=sql.Identifier(table))
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(statement, {"day": day}).fetchone()
    return int(row[0]) if row else 0


def completed_days(url: str, stream: str) -> dict[date, datetime]:
    """Days that were read to their end *after they were over*, and when the reading began."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        rows = connection.execute(
            "select window_date, started_at from raw.window_passes where stream = %s"
            " and started_at >= (window_date + 1)::timestamp at time zone 'UTC'",
            (stream,),
        ).fetchall()
    return {row[0]: row[1] for row in rows}


def days_read_since(url: str, stream: str, since: datetime) -> set[date]:
    """Days of which a complete reading began at `since` or later."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        rows = connection.execute(
            "select window_date from raw.window_passes where stream = %s and started_at >= %s", (stream, since)
        ).fetchall()
    return {row[0] for row in rows}


def days_left(url: str, stream: str, days: Sequence[date], since: datetime) -> list[date]:
    """Those of `days` not read since `since`, in their order; none from before the first day that was ever read."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        row = connection.execute(
            "select min(window_date) from raw.window_passes where stream = %s", (stream,)
        ).fetchone()
    first = row[0] if row else None
    done = days_read_since(url, stream, since)
    return [day for day in days if day not in done and (first is None or day >= first)]
