"""payshack_sweep_sensor: once a night every one of the last PAYSHACK_SWEEP_DAYS is read again.

    tick -> a sweep on its way? -> pausing after failures? -> days not read since the night began? -> payshack_sweep_job

Refunds and chargebacks reach orders weeks later, and PayShack shows them only where the order's own day is read. What
has been read is in raw.window_passes: a sweep that was interrupted, or a day that failed, is gone on with later.
"""

from datetime import datetime, time, timedelta

import dagster as dg

from pipelines.core.settings import Settings, load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.ingest.partitions import feed_partition
from pipelines.defs.jobs import payshack_sweep_job
from pipelines.defs.tags import MODE, SWEEP, SWEEP_SINCE
from pipelines.defs.watch.runs import in_words, pause_after_failures, unfinished

SECONDS = 600
NIGHT = time(2, 0)
"""In PSP_BUSINESS_TIMEZONE, when the fewest payments are made."""


@dg.sensor(
    job_name=payshack_sweep_job.name,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        f"From {NIGHT:%H:%M} business time on, reads each of the last PAYSHACK_SWEEP_DAYS of PayShack again, once a "
        "night; what was interrupted or failed is gone on with."
    ),
)
def payshack_sweep_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One sweep at a time."""
    with told_plainly(context):
        return _decide(context.instance, load_settings())


def _decide(instance: dg.DagsterInstance, settings: Settings) -> dg.RunRequest | dg.SkipReason:
    from pipelines.loading.news import last_feed_at
    from pipelines.loading.payshack import days_to_sweep

    underway = unfinished(instance, job=payshack_sweep_job.name)
    if underway:
        return dg.SkipReason(f"A sweep is on its way already: run {underway[0].run_id[:8]}.")
    pause = pause_after_failures(instance, job=payshack_sweep_job.name, poll_seconds=SECONDS)
    if pause is not None:
        return dg.SkipReason(f"{pause.told('sweep')} failed; the next one is tried after {pause.time}.")
    if last_feed_at(settings, "payshack") is None:
        return dg.SkipReason("PayShack has not been read to its end yet; there is nothing to read again.")
    since = night_begun(settings)
    left = days_to_sweep(settings, since)
    if not left:
        return dg.SkipReason(f"Every day of the sweep has been read since {since:%Y-%m-%d %H:%M} UTC.")
    return dg.RunRequest(
        partition_key=feed_partition(settings.clock()),
        tags={MODE: SWEEP, SWEEP_SINCE: since.isoformat(), "psp/sweep_left": in_words(left, "day")},
    )


def night_begun(settings: Settings) -> datetime:
    """The newest NIGHT that has begun, in UTC."""
    zone = settings.business_zone
    now = settings.clock().astimezone(zone)
    tonight = datetime.combine(now.date(), NIGHT, zone)
    begun = tonight if tonight <= now else datetime.combine(now.date() - timedelta(days=1), NIGHT, zone)
    return begun.astimezone(settings.clock().tzinfo)
