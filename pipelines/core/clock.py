"""The one clock. Everything that needs "now", Python and SQL alike, asks it, so a replay can stop time."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current instant, timezone-aware, UTC."""


def system_clock() -> datetime:
    """The wall clock in UTC."""
    return datetime.now(UTC)


def fixed_clock(instant: datetime) -> Clock:
    """A clock that stands still at `instant`; a naive instant is refused because its zone would be a guess."""
    if instant.tzinfo is None:
        raise ValueError("a clock instant needs a time zone, for example 2026-01-15T10:00:00Z")
    at = instant.astimezone(UTC)
    return lambda: at
