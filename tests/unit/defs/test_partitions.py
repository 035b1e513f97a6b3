"""The partition of a feed run is one that exists, wherever PSP_NOW has stopped the clock."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipelines.defs.ingest.partitions import CREATED_DAYS, feed_partition

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 1, 15, 12, 3, tzinfo=UTC), "2026-01-15"),
        (datetime(2026, 1, 15, 4, 0, tzinfo=INDIA), "2026-01-14"),
        (datetime(2020, 5, 1, tzinfo=UTC), "2025-01-01"),
    ],
)
def test_the_utc_day_or_the_first_partition(now: datetime, expected: str) -> None:
    assert feed_partition(now) == expected
    assert CREATED_DAYS.has_partition_key(expected)


def test_a_clock_ahead_of_the_world_gets_today() -> None:
    partition = feed_partition(datetime.now(UTC) + timedelta(days=400))
    assert CREATED_DAYS.has_partition_key(partition)
    assert partition == CREATED_DAYS.get_last_partition_key()
