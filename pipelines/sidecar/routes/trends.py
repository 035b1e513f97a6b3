"""Metrics over time: the course of some business dates, and the last minutes.

Sums over the fct_metrics marts: days, hours and five minutes, which everything wider is made of.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql
from pydantic import Field

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, Strict
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Reader
from pipelines.sidecar.errors import Invalid
from pipelines.sidecar.filters import Many, MetricFilters, Word
from pipelines.sidecar.periods import Period
from pipelines.sidecar.relations import DAILY, FINE, HOURLY
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.routes.metrics import MEASURES, MetricsQuery, resolved
from pipelines.sidecar.shapes import Amounts, Flow, Source

router = APIRouter(prefix="/metrics", tags=["metrics"], responses=NOT_CHANGED)

MAX_POINTS = 2500

TRENDS = sql.SQL(
    "select {bucket} as timestamp, currency, grouping(currency) = 0 as is_by_currency,"
    + MEASURES
    + "from {relation} where {where}"
    " group by grouping sets ((1), (1, currency)) order by 1, currency"
)
Granularity = Literal["5min", "15min", "hour", "day", "week"]
BUCKETS: dict[Granularity, tuple[sql.SQL, sql.SQL, float]] = {
    "5min": (sql.SQL("bucket_at"), FINE, 288.0),
    "15min": (sql.SQL("date_bin('15 minutes', bucket_at, 'epoch')"), FINE, 96.0),
    "hour": (sql.SQL("bucket_at"), HOURLY, 24.0),
    "day": (sql.SQL("business_date::timestamp at time zone %(zone)s"), DAILY, 1.0),
    "week": (
        sql.SQL("date_trunc('week', business_date::timestamp) at time zone %(zone)s"),
        DAILY,
        1 / 7,
    ),
}
RECENT = sql.SQL(
    "select project, grouping(project) = 1 as is_total,"
    + MEASURES
    + "from {fine} where bucket_at >= %(after)s and bucket_at < %(until)s and {where}"
    " group by grouping sets ((), (project)) order by project nulls first"
)


class TrendsQuery(MetricsQuery):
    """Minutes and hours are UTC's; days and weeks (from Monday) are business dates, told by when they begin."""

    granularity: Annotated[Granularity, Field(description="Width of a point")] = "day"


class Point(Strict):
    """One span of time that has payments; a span without any has no point."""

    timestamp: datetime
    count: int
    amount: Amounts
    success_count: int
    failed_count: int
    pending_count: int
    success_rate: float | None


class Trends(Strict):
    """Points in time order."""

    period: Period
    granularity: Granularity
    points: list[Point]


class RecentQuery(Strict):
    """How many minutes back from now."""

    minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    source: Many[Source]
    project: Many[Word]
    flow: Many[Flow]


class Lately(Strict):
    """Payments that were created lately. `pending` ones have not ended yet, so a rate may still rise."""

    count: int
    success: int
    failed: int
    pending: int
    success_rate: float | None


class ProjectLately(Lately):
    """Those of one project."""

    project: str


class Recent(Strict):
    """From `after` to the end of the five minutes that are running, `until`."""

    after: datetime
    until: datetime
    total: Lately
    projects: list[ProjectLately]


@router.get("/trends", response_model=Answer[Trends])
async def trends(request: Request, caller: ReadCaller, asked: Annotated[TrendsQuery, Query()]) -> Response:
    """The course over time."""
    settings: Settings = request.app.state.settings
    period, filters = resolved(request, asked)
    bucket, relation, per_day = BUCKETS[asked.granularity]
    if period.days * per_day > MAX_POINTS:
        raise Invalid("granularity", f"more than {MAX_POINTS} points; ask for fewer days or a coarser granularity")
    query = TRENDS.format(bucket=bucket, relation=relation, where=filters.where())

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(query, filters.used() | {"zone": settings.psp_business_timezone})
        return Draft({"period": period.model_dump(), "granularity": asked.granularity, "points": _points(rows)})

    return await remembered(request, filters, made)


@router.get("/recent", response_model=Answer[Recent])
async def recent(request: Request, caller: ReadCaller, asked: Annotated[RecentQuery, Query()]) -> Response:
    """The last minutes, by project."""
    settings: Settings = request.app.state.settings
    now = settings.clock()
    until = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0) + timedelta(minutes=5)
    after = until - timedelta(minutes=asked.minutes // 5 * 5 + 5)
    filters = MetricFilters(source=asked.source, project=asked.project, flow=asked.flow, currency=[])
    span = {"after": after, "until": until}

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(RECENT.format(fine=FINE, where=filters.where()), filters.used() | span)
        shown = [{name: row[name] for name in ProjectLately.model_fields} for row in rows]
        total = shown[0]
        del total["project"]
        return Draft({"after": after, "until": until, "total": total, "projects": shown[1:]})

    return await remembered(request, (asked, until), made)


def _points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one bucket (its total and its currencies) as one point."""
    points: dict[datetime, dict[str, Any]] = {}
    for row in rows:
        point = points.setdefault(row["timestamp"], {"timestamp": row["timestamp"], "amount": {}})
        if row["is_by_currency"]:
            point["amount"][row["currency"]] = row["amount"]
        else:
            point["count"] = row["count"]
            point |= {f"{name}_count": row[name] for name in ("success", "failed", "pending")}
            point["success_rate"] = row["success_rate"]
    return list(points.values())
