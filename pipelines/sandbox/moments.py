"""Instants as whole milliseconds since 1970, UTC, and how the providers write them: the servers' hot path."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_millis(moment: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def instant(millis: int) -> datetime:
    """The UTC instant of so many milliseconds."""
    return _EPOCH + timedelta(milliseconds=millis)


def texts(millis: Sequence[int]) -> list[str]:
    """2026-01-15T15:46:20.195 of many at once: ISO 8601 without a zone."""
    found: list[str] = np.array(millis, dtype="datetime64[ms]").astype("U23").tolist()
    return found
