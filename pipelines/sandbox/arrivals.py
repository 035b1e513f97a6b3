"""When orders are made: history with the hours and weekdays of an Indian gaming day, and a stream without an end.

    case 0 .. orders-1        history before the anchor, the last hours of it as busy as the live stream
    case orders, orders+1 ..  one possible order every GAP seconds after the anchor, fewer of them at night

Times are milliseconds since 1970, UTC. Case numbers and times rise together.
"""

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.chance import Longs, units
from pipelines.sandbox.moments import to_millis

Millis = NDArray[np.int64]

HOUR_MS = 3_600_000
GAP_SECONDS = 6
RECENT_HOURS = 3
RECENT_SHARE = 0.1
INDIA_OFFSET_HOURS = 5.5
# Shares of the day by local hour; evenings are busy, the small hours are quiet.
HOURS = np.array([4, 2.6, 1.6, 1.2, 1, 1.2, 2, 3, 4, 5, 5.6, 6, 6.2, 6, 5.6, 5.6, 6, 6.6, 7.6, 8.8, 9.6, 9.4, 8, 6])
WEEKDAYS = np.array([0.92, 0.92, 0.95, 1.0, 1.1, 1.25, 1.2])
QUIETEST = 0.4


def history_days(orders: int) -> int:
    """How far a history of so many orders goes back: a fortnight for 1,000, two months for a million."""
    return round(min(60.0, max(7.0, 14 * (orders / 1000) ** 0.2)))


def busyness(millis: Millis) -> NDArray[np.float64]:
    """How busy an instant is, 0 to 1, by local hour and weekday."""
    hours = np.floor(millis / HOUR_MS + INDIA_OFFSET_HOURS).astype(np.int64)
    weekday = (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday
    busy: NDArray[np.float64] = HOURS[hours % 24] * WEEKDAYS[weekday]
    return busy / (HOURS.max() * WEEKDAYS.max())


def history(seed: int, orders: int, anchor: datetime) -> tuple[Longs, Millis]:
    """Case numbers and times of the history."""
    cases = np.arange(orders, dtype=np.uint64)
    jitter = units(seed, cases, "arrival")
    recent = min(int(orders * RECENT_SHARE), RECENT_HOURS * 3600 // GAP_SECONDS)
    older = orders - recent
    quiet_from = to_millis(anchor - timedelta(hours=RECENT_HOURS))
    edges = np.arange(history_days(orders) * 24, -1, -1, dtype=np.int64) * -HOUR_MS + quiet_from
    rising = np.concatenate([[0.0], np.cumsum(busyness(edges[:-1]))])
    old_times = np.interp((np.arange(older) + jitter[:older]) / max(older, 1) * rising[-1], rising, edges)
    new_times = quiet_from + (np.arange(recent) + jitter[older:]) / max(recent, 1) * RECENT_HOURS * HOUR_MS
    return cases, np.concatenate([old_times, new_times]).astype(np.int64)


def live(seed: int, orders: int, anchor: datetime, first: int, count: int) -> tuple[Longs, Millis]:
    """Case numbers and times of `count` possible orders after the anchor, from number `first`, less those at night."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    cases = (numbers + orders).astype(np.uint64)
    times = to_millis(anchor) + ((numbers + units(seed, cases, "arrival")) * GAP_SECONDS * 1000).astype(np.int64)
    kept = units(seed, cases, "kept") < np.maximum(busyness(times), QUIETEST)
    return cases[kept], times[kept]
