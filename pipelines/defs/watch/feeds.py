"""The feed sensors: one or two small requests decide whether a feed run starts.

    tick -> a feed of this source on its way? -> pausing after failures? -> anything new? -> run of today's partition

A feed also runs without news every `QUIET_MINUTES`. PayShack shows late status changes only when its days are read
again; for Vima, which misses nothing, such a run proves the whole chain and renews the health report. Between them a
source with nothing new has its watermark moved by the tick itself, see loading/news.py, and its row of the health
report, see defs/model/health.py: quiet is not stale.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from pipelines.core.errors import SourceAuthError
from pipelines.core.redaction import redact
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.ingest.partitions import feed_partition
from pipelines.defs.jobs import payshack_feed_job, vima_feed_job
from pipelines.defs.tags import ALL, FEED, MODE, SOURCE
from pipelines.defs.watch.runs import pause_after_failures, unfinished

QUIET_MINUTES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One source as its sensor sees it. `has_news` gives None where it cannot be told without a load."""

    source: str
    label: str
    job_name: str
    poll_seconds: int
    has_news: Callable[[Settings], bool | None]

    @property
    def tags(self) -> dict[str, str]:
        """What marks a run as a feed of this source, whoever starts it."""
        return {SOURCE: self.source, MODE: FEED}


@dg.definitions
def feed_sensors() -> dg.Definitions:
    """Both sensors, at the intervals that the settings ask for."""
    settings = load_settings()
    vima = Feed(
        source="vima",
        label="Vima",
        job_name=vima_feed_job.name,
        poll_seconds=settings.vima_poll_seconds,
        has_news=_vima_has_news,
    )
    payshack = Feed(
        source="payshack",
        label="PayShack",
        job_name=payshack_feed_job.name,
        poll_seconds=settings.payshack_poll_seconds,
        has_news=_payshack_has_news,
    )
    return dg.Definitions(sensors=[build_feed_sensor(vima), build_feed_sensor(payshack)])


def build_feed_sensor(feed: Feed) -> dg.SensorDefinition:
    """The sensor of one source, running from the start."""

    @dg.sensor(
        name=f"{feed.source}_feed_sensor",
        job_name=feed.job_name,
        minimum_interval_seconds=feed.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Asks {feed.label} every {feed.poll_seconds} s whether anything is new, and every {QUIET_MINUTES} minutes "
            "reads it in any case. One feed at a time; after failures it waits longer."
        ),
    )
    def feed_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with told_plainly(context):
            return _decide(context.instance, feed, load_settings())

    return feed_sensor


def _decide(instance: dg.DagsterInstance, feed: Feed, settings: Settings) -> dg.RunRequest | dg.SkipReason:
    # Imported here: the code location does without the loader's 1 s of imports until the first tick.
    from pipelines.loading.news import last_feed_at

    underway = [run for run in unfinished(instance, tags={MODE: FEED}) if run.tags.get(SOURCE) in (feed.source, ALL)]
    if underway:
        return dg.SkipReason(f"A feed of {feed.label} is on its way already: run {underway[0].run_id[:8]}.")
    pause = pause_after_failures(instance, job=feed.job_name, poll_seconds=feed.poll_seconds)
    if pause is not None:
        return dg.SkipReason(f"{pause.told('feed')} of {feed.label} failed; the next one is tried after {pause.time}.")
    try:
        news = feed.has_news(settings)
    except SourceAuthError as error:
        if feed.source != "payshack":
            raise
        # Its run has failed and said so; until the cool-down is over there is nothing to add.
        return dg.SkipReason(f"{redact(str(error))}.")
    last = last_feed_at(settings, feed.source)
    due_at = last + timedelta(minutes=QUIET_MINUTES) if last else settings.clock()
    if news is False and settings.clock() < due_at:
        _confirm(settings, feed.source)
        return dg.SkipReason(f"{feed.label} has nothing new; it is read in any case at {due_at:%H:%M:%S} UTC.")
    return dg.RunRequest(partition_key=feed_partition(settings.clock()), tags=feed.tags)


def _confirm(settings: Settings, source: str) -> None:
    from pipelines.defs.model.health import confirm_source_health
    from pipelines.loading.freshness import announce_freshness

    if confirm_source_health(settings, source):
        announce_freshness(settings, source=source)


def _vima_has_news(settings: Settings) -> bool | None:
    from pipelines.loading.news import vima_has_news

    return vima_has_news(settings)


def _payshack_has_news(settings: Settings) -> bool | None:
    from pipelines.loading.news import payshack_has_news

    return payshack_has_news(settings)
