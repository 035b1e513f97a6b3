"""How good the matured success rate is: the estimate of an hour some minutes after its end, against what came of it.

The final rate is counted here from the world itself, not by the models.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.sandbox.moments import to_millis
from pipelines.sandbox.world import World
from tests.replay import UNREADABLE

PROJECTS = {"91G_TECH_PVT_LTD": "91game", "IG Indigate P_Out": "indigate_payout", "MNCL_M5_Pvt_Ltd": "mncl_m5"}
ENOUGH = 100
POINT = 0.01

# Methods are added up by their counts: a project's rate is that of its sums.
ESTIMATES = """
select
    source, project, sum(created_count)::bigint as created,
    sum(success_count) / nullif(sum(success_count + failed_count + expired_count), 0) as raw,
    sum(success_count + expected_success_count)
    / nullif(sum(success_count + failed_count + expired_count + expected_end_count), 0) as matured,
    min(matured_low) as low, max(matured_high) as high
from marts.rpt_success_matured
where bucket_at = %(hour)s and flow = 'payin'
group by source, project
having sum(created_count) >= %(enough)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One project-hour of one source: what was shown, what was estimated, what it became."""

    source: str
    project: str
    hour: datetime
    created: int
    raw: float
    matured: float
    final: float

    @property
    def raw_is_close(self) -> bool:
        """Whether the raw ratio was within one point."""
        return abs(self.raw - self.final) <= POINT

    @property
    def matured_is_close(self) -> bool:
        """Whether the estimate was within one point."""
        return abs(self.matured - self.final) <= POINT


def judge(rows: list[dict[str, Any]], hour: datetime, finals: dict[tuple[str, str], float]) -> list[Judged]:
    """The hour's estimates beside what came of it."""
    return [
        Judged(
            source=row["source"],
            project=row["project"],
            hour=hour,
            created=row["created"],
            raw=float(row["raw"]),
            matured=float(row["matured"]),
            final=finals[row["source"], row["project"]],
        )
        for row in rows
    ]


def final_rates(world: World, hour: datetime) -> dict[tuple[str, str], float]:
    """success / (success + failed + expired) of the pay-ins created in the hour, a day later, by source and project."""
    first, last = to_millis(hour), to_millis(hour + timedelta(hours=1))
    later = to_millis(hour + timedelta(days=1))
    paid: dict[tuple[str, str], int] = defaultdict(int)
    ended: dict[tuple[str, str], int] = defaultdict(int)
    for name, source in (("vima", "vima"), ("payshack:payin", "payshack")):
        table = world.table(name)
        low, high = table.created.searchsorted([first, last])
        for record in table.at(range(int(low), int(high)), later):
            if record.slot.flow != "payin" or record.slot.traits & UNREADABLE:
                continue
            key = (source, PROJECTS.get(record.slot.owner, record.slot.owner))
            # Whoever waits for the user after a day has expired.
            ended[key] += record.status_class in "SRCFW"
            paid[key] += record.status_class in "SRC"
    return {key: paid[key] / count for key, count in ended.items() if count}


def told(judged: list[Judged]) -> str:
    """Both shares, and the errors, in two lines."""
    lines = []
    for name, errors in (
        ("raw ratio", [abs(item.raw - item.final) for item in judged]),
        ("matured  ", [abs(item.matured - item.final) for item in judged]),
    ):
        close = sum(error <= POINT for error in errors) / len(errors)
        lines.append(
            f"{name}: within 1 point of the final rate in {close:.0%} of {len(errors)} project-hours;"
            f" mean error {100 * sum(errors) / len(errors):.2f}, worst {100 * max(errors):.2f} points"
        )
    return "\n".join(lines) + "\n"
