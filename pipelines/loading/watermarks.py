"""What is known complete: the watermark of a source and flow, and the days that were read to their end."""

from datetime import date, datetime

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


def record_window_pass(
    url: str, source: str, stream: str, day: date, *, total: int, started_at: datetime, ended_at: datetime
) -> None:
    """Remember that every record of one UTC created day has been read, and when."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        connection.execute(
            "insert into raw.window_passes"
            " (source, stream, window_date, total_records, distinct_records, started_at, completed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (source, stream, window_date) do update set"
            " total_records = excluded.total_records, distinct_records = excluded.distinct_records,"
            " started_at = excluded.started_at, completed_at = excluded.completed_at",
            (source, stream, day, total, total, started_at, ended_at),
        )


def completed_days(url: str, stream: str) -> dict[date, datetime]:
    """Days that were read to their end *after they were over*, and when the reading began."""
    with connect(url, role=LOADER, application="psp-load") as connection:
        rows = connection.execute(
            "select window_date, started_at from raw.window_passes where stream = %s"
            " and started_at >= (window_date + 1)::timestamp at time zone 'UTC'",
            (stream,),
        ).fetchall()
    return {row[0]: row[1] for row in rows}
