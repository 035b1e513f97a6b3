"""Up to when the answers are complete. Read in the same snapshot as the rows that it speaks of.

That an answer is stale comes with time alone, so what is read is the instant at which it becomes so.
"""

from dataclasses import dataclass
from datetime import datetime

from pipelines.core.settings import Settings

MISSED_POLLS = 3
GRACE_SECONDS = 120  # a run's own time: load, models, announcement

# Without a watermark for every source and flow nothing can be called complete.
QUERY = """
select
    case when count(*) = count(watermark) then min(watermark) end as as_of,
    case when count(*) = count(watermark) then min(
        watermark + make_interval(
            secs => case source when 'vima' then %(vima_seconds)s else %(payshack_seconds)s end
        )
    ) end as stale_at
from marts.rpt_source_health
"""


@dataclass(frozen=True, slots=True)
class Freshness:
    """`as_of`: every source is complete up to here; `stale_at`: when one of them will have missed several polls."""

    as_of: datetime | None
    stale_at: datetime | None

    def is_stale(self, now: datetime) -> bool:
        """Whether that is so by now."""
        return self.stale_at is None or now > self.stale_at


UNKNOWN = Freshness(as_of=None, stale_at=None)


def parameters(settings: Settings) -> dict[str, object]:
    """What the query needs: how old a source may be before it is called stale."""
    return {
        "vima_seconds": settings.vima_poll_seconds * MISSED_POLLS + GRACE_SECONDS,
        "payshack_seconds": settings.payshack_poll_seconds * MISSED_POLLS + GRACE_SECONDS,
    }
