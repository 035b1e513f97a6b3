"""Metabase's words for dates, read as Metabase reads them, into inclusive ranges of days.

    past7days     the seven days before today          past7days~    and today
    past2months-from-1months                           today yesterday lastweek thismonth
    2026-01-15   2026-01-01~2026-01-31   ~2026-01-31   2026-01-01~   2026-01   Q1-2026

A week begins on Monday (the provisioner sets Metabase to the same). "Now" is the caller's: the business date of
settings.clock. Hours and exclusions, which Metabase also knows, mean nothing for a business date and are refused.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

from pipelines.core.errors import DashboardError

UNITS = ("day", "week", "month", "quarter", "year")
_UNIT = f"({'|'.join(UNITS)})"
_RELATIVE = re.compile(rf"(past|next)([0-9]{{1,4}}){_UNIT}s(?:(~)|-from-([0-9]{{1,4}}){_UNIT}s)?")
_NAMED = re.compile(rf"(last|this|next){_UNIT}")
_DAY = r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
_RANGE = re.compile(rf"{_DAY}?~{_DAY}?")
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_QUARTER = re.compile(r"Q([1-4])-([0-9]{4})")


@dataclass(frozen=True, slots=True)
class Days:
    """Days from `first` to `last`, both included; None is open."""

    first: date | None
    last: date | None


def parse_days(text: str, today: date) -> Days:
    """The range that the words mean. Raises DashboardError for words that Metabase does not know."""
    try:
        found = _relative(text, today) or _absolute(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or (found.first and found.last and found.first > found.last):
        raise DashboardError(
            f"{text!r} is no date filter.", fix="such as past7days~, thismonth, 2026-01-15 or 2026-01-01~2026-01-31"
        )
    return found


def _relative(text: str, today: date) -> Days | None:
    if text in ("today", "yesterday"):
        day = today - timedelta(days=text == "yesterday")
        return Days(day, day)
    if match := _NAMED.fullmatch(text):
        step = {"last": -1, "this": 0, "next": 1}[match[1]]
        return _between(_moved(today, match[2], step), _moved(today, match[2], step), match[2])
    if match := _RELATIVE.fullmatch(text):
        direction, count, unit, current, offset, offset_unit = match.groups()
        sign = -1 if direction == "past" else 1
        origin = _moved(today, offset_unit, sign * int(offset)) if offset else today
        near = _moved(origin, unit, 0 if current else sign)
        far = _moved(origin, unit, sign * int(count))
        return _between(*((far, near) if sign < 0 else (near, far)), unit)
    return None


def _absolute(text: str) -> Days | None:
    if match := _QUARTER.fullmatch(text):
        first = date(int(match[2]), 3 * int(match[1]) - 2, 1)
        return _between(first, first, "quarter")
    if match := _MONTH.fullmatch(text):
        first = date(int(match[1]), int(match[2]), 1)
        return _between(first, first, "month")
    if (match := _RANGE.fullmatch(text)) and any(match.groups()):
        first_text, last_text = match.groups()
        return Days(
            date.fromisoformat(first_text) if first_text else None, date.fromisoformat(last_text) if last_text else None
        )
    day = date.fromisoformat(text) if re.fullmatch(_DAY, text) else None
    return Days(day, day) if day else None


def _between(first: date, last: date, unit: str) -> Days:
    """From the beginning of `first`'s unit to the end of `last`'s."""
    return Days(_beginning(first, unit), _beginning(_moved(_beginning(last, unit), unit, 1), unit) - timedelta(days=1))


def _beginning(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    if unit == "quarter":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def _moved(day: date, unit: str, count: int) -> date:
    """`count` units on; a day that the month has not becomes its last one."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    months = count * {"month": 1, "quarter": 3, "year": 12}[unit]
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
