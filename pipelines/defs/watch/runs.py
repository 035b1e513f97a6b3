"""What a sensor needs to know of earlier runs: is one on its way, and did the last ones fail in a row?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.core.clock import system_clock

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
LONGEST_PAUSE = timedelta(minutes=15)
COUNTED_FAILURES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long nothing is started because `failures` runs in a row have failed."""

    failures: int
    until: datetime

    @property
    def time(self) -> str:
        """Until when, for a sentence."""
        return f"{self.until:%H:%M:%S} UTC"

    def told(self, noun: str) -> str:
        """`The last run`, `The last 3 runs`."""
        return f"The last {noun}" if self.failures == 1 else f"The last {in_words(self.failures, noun)}"


def unfinished(
    instance: dg.DagsterInstance, *, job: str | None = None, tags: Mapping[str, str] | None = None
) -> list[dg.DagsterRun]:
    """Runs that are queued or running, newest first."""
    return list(instance.get_runs(filters=dg.RunsFilter(job_name=job, tags=tags, statuses=UNFINISHED)))


def pause_after_failures(instance: dg.DagsterInstance, *, job: str, poll_seconds: int) -> Pause | None:
    """The pause that is still on: twice the interval after one failure, doubling, at most LONGEST_PAUSE. Real time."""
    records = instance.get_run_records(filters=dg.RunsFilter(job_name=job), limit=COUNTED_FAILURES)
    failures = 0
    for record in records:
        if record.dagster_run.status is not dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    if not failures or records[0].end_time is None:
        return None
    pause = min(timedelta(seconds=poll_seconds * 2**failures), LONGEST_PAUSE)
    until = datetime.fromtimestamp(records[0].end_time, UTC) + pause
    return Pause(failures=failures, until=until) if system_clock() < until else None


def in_words(number: int, noun: str) -> str:
    """`1 run`, `3 runs`: sentences in the UI are read by people."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
