"""When a business day may be closed: provisionally at 06:00 of the day after, finally at 06:00 four days after it.

Four days, because a failed payment can still turn into a success for 72 hours. Hours are of the business zone.
"""

from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Kind = Literal["provisional", "final"]

CLOSING_HOUR = time(6)
DAYS_AFTER: dict[Kind, int] = {"provisional": 1, "final": 4}


def closes_at(day: date, kind: Kind, zone: ZoneInfo) -> datetime:
    """The first instant at which `day` may be closed as `kind`."""
    return datetime.combine(day + timedelta(days=DAYS_AFTER[kind]), CLOSING_HOUR, zone)


def ends_at(day: date, zone: ZoneInfo) -> datetime:
    """The instant with which the next business date begins."""
    return datetime.combine(day + timedelta(days=1), time(0), zone)


def newest_closable(now: datetime, kind: Kind, zone: ZoneInfo) -> date:
    """The newest business date that may be closed as `kind` at `now`."""
    day = now.astimezone(zone).date() - timedelta(days=DAYS_AFTER[kind])
    return day if now >= closes_at(day, kind, zone) else day - timedelta(days=1)
