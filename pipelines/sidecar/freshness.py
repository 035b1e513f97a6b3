"""Up to when the answers are complete. Read in the same snapshot as the rows that it speaks of."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.core.settings import Settings

MISSED_POLLS = 3
GRACE_SECONDS = 120  # a run's own time: load, models, announcement

# Without a watermark for every source and flow nothing can be called complete.
QUERY = """
select
    case when count(*) = count(watermark) then min(watermark) end as as_of,
    coalesce(bool_or(
        watermark is null
        or watermark < %(now)s - make_interval(
            secs => case source when 'vima' then %(vima_seconds)s else %(payshack_seconds)s end
        )
    ), true) as stale
from marts.rpt_source_health
"""


@dataclass(frozen=True, slots=True)
class Freshness:
    """`as_of`: every source is complete up to here; `stale`: one of them has missed several polls."""

    as_of: datetime | None
    stale: bool


UNKNOWN = Freshness(as_of=None, stale=True)


def parameters(settings: Settings) -> dict[str, object]:
    """What the query needs: now, and how old a source may be before it is called stale."""
    return {
        "now": settings.clock(),
        "vima_seconds": settings.vima_poll_seconds * MISSED_POLLS + GRACE_SECONDS,
        "payshack_seconds": settings.payshack_poll_seconds * MISSED_POLLS + GRACE_SECONDS,
    }
