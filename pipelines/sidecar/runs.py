"""Starting work on request: which Dagster runs that means, and whether the same is on its way already.

    feed of a source                      -> its feed job, as its sensor would start it
    UTC created days of a source again    -> backfill_job, one run a day; the models follow by their sensor
    reconciliation                        -> models_job

Asked twice, the second is refused as long as the first has not ended (Conflict, with the ids of its runs): so a request
may be repeated when its answer was lost. One question at a time in a process; between processes the loader's own lock
and the lock of the models keep the same work from being done at once.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pipelines.sidecar.dagster_client import (
    ASKED_BY,
    BACKFILL,
    BUSINESS_DATE,
    MODE,
    PARTITION,
    SOURCE,
    DagsterClient,
    Launch,
    Run,
)
from pipelines.sidecar.errors import Conflict, Invalid
from pipelines.sidecar.shapes import Source

FEED_JOBS: dict[Source, str] = {"vima": "vima_feed_job", "payshack": "payshack_feed_job"}
ASSETS: dict[Source, tuple[str, ...]] = {
    "vima": ("raw/vima_operations",),
    # One browser session reads all five, so Dagster takes all of them or none.
    "payshack": tuple(
        f"raw/payshack_{name}" for name in ("payins", "payouts", "clients", "resellers", "service_providers")
    ),
}
BACKFILL_JOB = "backfill_job"
MODELS_JOB = "models_job"
FEED, ALL = "feed", "all"
MAX_DAYS = 31


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was started: which source it reads, and which day, null where it goes on from the cursor."""

    run_id: str
    source: Source
    day: date | None


class Operator:
    """Starts runs for callers. Raises Conflict, Invalid or Upstream."""

    def __init__(self, dagster: DagsterClient) -> None:
        self._dagster = dagster
        self._deciding = asyncio.Lock()

    async def feed(self, sources: Sequence[Source], *, now: datetime, asked_by: str) -> list[Started]:
        """Go on from where each source was left."""
        async with self._deciding:
            underway = [
                run
                for run in await self._dagster.unfinished(tags={MODE: FEED})
                if run.tags.get(SOURCE) in (*sources, ALL)
            ]
            _refuse(underway, "A feed of the source is on its way already.")
            first, last = await self._dagster.days()
            day = min(max(now.astimezone(UTC).date().isoformat(), first), last)
            launches = [
                Launch(FEED_JOBS[source], {SOURCE: source, MODE: FEED, PARTITION: day, ASKED_BY: asked_by})
                for source in sources
            ]
            ids = await self._dagster.launch(launches)
        return [Started(run_id, source, None) for run_id, source in zip(ids, sources, strict=True)]

    async def window(self, sources: Sequence[Source], first: date, last: date, *, asked_by: str) -> list[Started]:
        """Read days again, both ends included."""
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        if len(days) > MAX_DAYS:
            raise Invalid("to_date", f"more than {MAX_DAYS} days at once; ask in parts, or use Dagster's own backfill")
        async with self._deciding:
            known = await self._dagster.days()
            if first.isoformat() < known[0] or last.isoformat() > known[1]:
                raise Invalid("from_date", f"days from {known[0]} to {known[1]} can be read")
            _refuse(await self._days_underway(sources, days), "One of these days is being read already.")
            # Dagster's limit for backfills holds for these runs, too, so that a feed always finds its place.
            tags = {BACKFILL: f"api{secrets.token_hex(4)}", ASKED_BY: asked_by}
            wanted = [(source, day) for day in days for source in sources]
            ids = await self._dagster.launch(
                Launch(BACKFILL_JOB, tags | {PARTITION: day.isoformat()}, ASSETS[source]) for source, day in wanted
            )
        return [Started(run_id, source, day) for run_id, (source, day) in zip(ids, wanted, strict=True)]

    async def reconcile(self, business_date: date, *, asked_by: str) -> str:
        """Run the models, which judge again whatever has changed or is due, of any date."""
        async with self._deciding:
            _refuse(await self._dagster.unfinished(job=MODELS_JOB), "A reconciliation is on its way already.")
            tags = {BUSINESS_DATE: business_date.isoformat(), ASKED_BY: asked_by}
            (run_id,) = await self._dagster.launch([Launch(MODELS_JOB, tags)])
        return run_id

    async def _days_underway(self, sources: Sequence[Source], days: Sequence[date]) -> list[Run]:
        names = {day.isoformat() for day in days}
        assets = {name for source in sources for name in ASSETS[source]}
        return [
            run
            for run in await self._dagster.unfinished(job=BACKFILL_JOB)
            if run.tags.get(PARTITION) in names and (not run.assets or run.assets & assets)
        ]


def _refuse(underway: Sequence[Run], message: str) -> None:
    if underway:
        raise Conflict(message, details={"run_ids": sorted(run.run_id for run in underway)})
