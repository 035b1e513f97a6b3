"""Metrics: the whole, by project and over time, added up from the rpt_metrics marts.

Measures in the marts are additive, so any span and grouping is a sum. Rates are computed from the sums, never averaged,
by the marts' own definitions. Amounts are kept by currency. Without the filter `source` a payment counts once for each
source that knows it.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql
from pydantic import Field

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, Strict, respond
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Database, Reader
from pipelines.sidecar.errors import Invalid
from pipelines.sidecar.filters import MetricFilters
from pipelines.sidecar.periods import Compare, Period, compared_with, period_of
from pipelines.sidecar.shapes import Amount, Amounts, Source

router = APIRouter(prefix="/metrics", tags=["metrics"])

MAX_POINTS = 2500

MEASURES = """
    coalesce(sum(created_count), 0)::bigint as count,
    coalesce(sum(success_count), 0)::bigint as success,
    coalesce(sum(failed_count), 0)::bigint as failed,
    coalesce(sum(pending_count), 0)::bigint as pending,
    coalesce(sum(expired_count), 0)::bigint as expired,
    coalesce(sum(unclear_count), 0)::bigint as unclear,
    coalesce(sum(refunded_count), 0)::bigint as refunded,
    coalesce(sum(chargeback_count), 0)::bigint as chargeback,
    sum(created_amount) as amount,
    sum(success_amount) as success_amount,
    round(sum(success_amount) / nullif(sum(success_count), 0), 4) as avg_ticket,
    round(sum(success_count)::numeric / nullif(sum(created_count), 0), 6)::float8 as conversion_rate,
    round(
        sum(success_count)::numeric / nullif(sum(success_count + failed_count + expired_count), 0), 6
    )::float8 as success_rate
"""
OVERVIEW = sql.SQL(
    "select source, currency, grouping(source) = 0 as is_by_source, grouping(currency) = 0 as is_by_currency,"
    + MEASURES
    + "from marts.rpt_metrics_daily where {where}"
    " group by grouping sets ((), (currency), (source), (source, currency)) order by source, currency"
)
TOTALS = sql.SQL("select" + MEASURES + "from marts.rpt_metrics_daily where {where}")
BY_PROJECT = sql.SQL(
    "select project, currency,"
    + MEASURES
    + "from marts.rpt_metrics_daily where {where} group by project, currency order by count desc, project, currency"
)
TRENDS = sql.SQL(
    "select {bucket} as timestamp, currency, grouping(currency) = 0 as is_by_currency,"
    + MEASURES
    + "from {relation} where {where}"
    " group by grouping sets ((1), (1, currency)) order by 1, currency"
)
BUCKETS = {
    "hour": (sql.SQL("bucket_at"), sql.SQL("marts.rpt_metrics_hourly"), 24.0),
    "day": (sql.SQL("business_date::timestamp at time zone %(zone)s"), sql.SQL("marts.rpt_metrics_daily"), 1.0),
    "week": (
        sql.SQL("date_trunc('week', business_date::timestamp) at time zone %(zone)s"),
        sql.SQL("marts.rpt_metrics_daily"),
        1 / 7,
    ),
}


class MetricsQuery(MetricFilters):
    """Filters; without dates the last seven business dates."""


class OverviewQuery(MetricsQuery):
    """With which span the change is computed: the one just before, the same weekdays before, or none."""

    compare: Compare = "previous"


class TrendsQuery(MetricsQuery):
    """Hours are UTC hours; days and weeks (from Monday) are business dates, told by the instant at which they begin."""

    granularity: Annotated[Literal["hour", "day", "week"], Field(description="Width of a point")] = "day"


class Total(Strict):
    """How many payments, and their amount by currency."""

    count: int
    amount: Amounts


class ByStatus(Strict):
    """Payments by their end. `success` holds those that were refunded or charged back later, told apart beside it."""

    success: int
    failed: int
    pending: int
    expired: int
    unclear: int
    refunded: int
    chargeback: int


class BySource(Total):
    """The same payments as each source sees them."""

    source: Source
    conversion_rate: float | None
    success_rate: float | None


class Changes(Strict):
    """Relative change against `compared_with`: 0.1 is a tenth more; null when there was nothing then."""

    compared_with: Period | None
    total_change: float | None
    success_change: float | None
    failed_change: float | None


class Overview(Strict):
    """`conversion_rate` = success / created; `success_rate` = success / (success + failed + expired)."""

    period: Period
    total: Total
    by_status: ByStatus
    by_source: list[BySource]
    conversion_rate: float | None
    success_rate: float | None
    avg_ticket: Amounts
    trends: Changes


class ProjectMetrics(Strict):
    """One project and currency."""

    project: str
    count: int
    amount: Amount
    currency: str
    success_rate: float | None
    conversion_rate: float | None


class ByProject(Strict):
    """Projects, the busiest first."""

    period: Period
    projects: list[ProjectMetrics]


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
    granularity: Literal["hour", "day", "week"]
    points: list[Point]


@router.get("/overview", response_model=Answer[Overview])
async def overview(request: Request, caller: ReadCaller, asked: Annotated[OverviewQuery, Query()]) -> Response:
    """All of it in one answer."""
    database: Database = request.app.state.database
    period, filters = _resolved(request, asked)
    before = compared_with(period, asked.compare)
    async with database.snapshot() as reader:
        rows = await reader.rows(OVERVIEW.format(where=filters.where()), filters.used())
        earlier = await _totals(reader, filters, before) if before else None
    total = next(row for row in rows if not row["is_by_source"] and not row["is_by_currency"])
    by_currency = [row for row in rows if not row["is_by_source"] and row["is_by_currency"]]
    data = {
        "period": period.model_dump(),
        "total": {"count": total["count"], "amount": _amounts(by_currency, "amount")},
        "by_status": {name: total[name] for name in ByStatus.model_fields},
        "by_source": [
            {
                "source": row["source"],
                "count": row["count"],
                "amount": _amounts([item for item in rows if _is_part_of(item, row)], "amount"),
                "conversion_rate": row["conversion_rate"],
                "success_rate": row["success_rate"],
            }
            for row in rows
            if row["is_by_source"] and not row["is_by_currency"]
        ],
        "conversion_rate": total["conversion_rate"],
        "success_rate": total["success_rate"],
        "avg_ticket": _amounts(by_currency, "avg_ticket"),
        "trends": {
            "compared_with": before.model_dump() if before else None,
            "total_change": _change(total, earlier, "count"),
            "success_change": _change(total, earlier, "success"),
            "failed_change": _change(total, earlier, "failed"),
        },
    }
    return respond(data, reader.freshness)


@router.get("/by-project", response_model=Answer[ByProject])
async def by_project(request: Request, caller: ReadCaller, asked: Annotated[MetricsQuery, Query()]) -> Response:
    """Each project and currency."""
    database: Database = request.app.state.database
    period, filters = _resolved(request, asked)
    async with database.snapshot() as reader:
        rows = await reader.rows(BY_PROJECT.format(where=filters.where()), filters.used())
    projects = [{name: row[name] for name in ProjectMetrics.model_fields} for row in rows]
    return respond({"period": period.model_dump(), "projects": projects}, reader.freshness)


@router.get("/trends", response_model=Answer[Trends])
async def trends(request: Request, caller: ReadCaller, asked: Annotated[TrendsQuery, Query()]) -> Response:
    """The course over time."""
    database: Database = request.app.state.database
    settings: Settings = request.app.state.settings
    period, filters = _resolved(request, asked)
    bucket, relation, per_day = BUCKETS[asked.granularity]
    if period.days * per_day > MAX_POINTS:
        raise Invalid("granularity", f"more than {MAX_POINTS} points; ask for fewer days or a coarser granularity")
    query = TRENDS.format(bucket=bucket, relation=relation, where=filters.where())
    async with database.snapshot() as reader:
        rows = await reader.rows(query, filters.used() | {"zone": settings.psp_business_timezone})
    data = {"period": period.model_dump(), "granularity": asked.granularity, "points": _points(rows)}
    return respond(data, reader.freshness)


def _resolved(request: Request, asked: MetricFilters) -> tuple[Period, MetricFilters]:
    """The span that is meant, and the filters with it set."""
    period = period_of(request.app.state.settings, asked.from_date, asked.to_date)
    return period, _within(asked, period)


def _within(filters: MetricFilters, period: Period) -> MetricFilters:
    return filters.model_copy(update={"from_date": period.from_date, "to_date": period.to_date})


async def _totals(reader: Reader, filters: MetricFilters, period: Period) -> dict[str, Any] | None:
    within = _within(filters, period)
    return await reader.row(TOTALS.format(where=within.where()), within.used())


def _amounts(rows: list[dict[str, Any]], name: str) -> dict[str, str]:
    return {row["currency"]: row[name] for row in rows if row[name] is not None}


def _is_part_of(item: dict[str, Any], whole: dict[str, Any]) -> bool:
    return bool(item["is_by_source"] and item["is_by_currency"] and item["source"] == whole["source"])


def _change(now: dict[str, Any], then: dict[str, Any] | None, name: str) -> float | None:
    return round((now[name] - then[name]) / then[name], 6) if then and then[name] else None


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
