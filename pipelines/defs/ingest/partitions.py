"""The one partition scheme of the raw assets: the UTC day on which the source created the record.

Finance's days are business dates (PSP_BUSINESS_TIMEZONE), five and a half hours ahead in India: a business date lies in
two partitions. Today is a partition although it has not ended, because the feed reads it as it happens.
"""

from datetime import UTC, date, datetime

import dagster as dg

from pipelines.core.clock import system_clock

# Before the first payment that the platform is asked about, and before any history that the sandbox makes up.
FIRST_DAY = date(2025, 1, 1)

CREATED_DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC", end_offset=1)

ONE_DAY_PER_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""Providers limit requests: a backfill becomes one run per day, resumable, as many at once as the pool allows."""


def feed_partition(now: datetime) -> str:
    """Partition key of a feed run: the UTC day of `now`, or the nearest partition when PSP_NOW lies outside of all."""
    today = system_clock().date()
    return min(max(now.astimezone(UTC).date(), FIRST_DAY), today).isoformat()
