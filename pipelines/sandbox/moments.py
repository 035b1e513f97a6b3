"""Instants as whole milliseconds since 1970, UTC, and how the providers write them: the servers' hot path."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_millis(moment: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def instant(millis: int) -> datetime:
    """The UTC instant of so many milliseconds."""
    return _EPOCH + timedelta(milliseconds=millis)


def iso(millis: int) -> str:
    """2026-01-15T15:46:20.195Z"""
    return f"{_day(millis // DAY_MS)}T{_time(millis)}Z"


def spaced(millis: int) -> str:
    """2026-01-15 15:46:20.195000, as in Vima's inner blocks."""
    return f"{_day(millis // DAY_MS)} {_time(millis)}000"


@lru_cache(maxsize=512)
def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()


def _time(millis: int) -> str:
    seconds, rest = divmod(millis % DAY_MS, 1000)
    return f"{_clock(seconds)}.{rest:03d}"


@lru_cache(maxsize=86_400)
def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
