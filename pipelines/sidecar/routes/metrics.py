"""Metrics: the whole, by project and over time, added up from the rpt_metrics marts.

Measures in the marts are additive, so any span and grouping is a sum. Rates are computed from the sums, never averaged,
by the marts' own definitions. Amounts are kept by currency. Without the filter `source` a payment counts once for each
source that knows it.
"""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql

from pipelines.sidecar.answers import Answer, Strict
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Reader
from pipelines.sidecar.filters import MetricFilters
from pipelines.sidecar.periods import Compare, Period, compared_with, period_of
from pipelines.sidecar.relations import DAILY
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.shapes import Amount, Amounts, Source

router = APIRouter(prefix="/metrics", tags=["metrics"], responses=NOT_CHANGED)

Asked = TypeVar("Asked", bound=MetricFilters)


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
    + "from {daily} where {where}"
    " group by grouping sets ((), (currency), (source), (source, currency)) order by source, currency"
)
TOTALS = sql.SQL("select" + MEASURES + "from {daily} where {where}")
BY_PROJECT = sql.SQL(
    "select project, currency,"
    + MEASURES
    + "from {daily} where {where} group by project, currency order by count desc, project, currency"
)


class MetricsQuery(MetricFilters):
    """Filters; without dates the last seven business dates."""


class OverviewQuery(MetricsQuery):
    """With which span the change is computed: the one just before, the same weekdays before, or none."""

    compare: Compare = "previous"


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


@router.get("/overview", response_model=Answer[Overview])
async def overview(request: Request, caller: ReadCaller, asked: Annotated[OverviewQuery, Query()]) -> Response:
    """All of it in one answer."""
    period, filters = resolved(request, asked)
    before = compared_with(period, asked.compare)

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(OVERVIEW.format(daily=DAILY, where=filters.where()), filters.used())
        earlier = await _totals(reader, filters, before) if before else None
        return Draft(_overview(period, before, rows, earlier))

    return await remembered(request, filters, made)


def _overview(
    period: Period, before: Period | None, rows: list[dict[str, Any]], earlier: dict[str, Any] | None
) -> dict[str, Any]:
    total = next(row for row in rows if not row["is_by_source"] and not row["is_by_currency"])
    by_currency = [row for row in rows if not row["is_by_source"] and row["is_by_currency"]]
    return {
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
            "total_change": change(total, earlier, "count"),
            "success_change": change(total, earlier, "success"),
            "failed_change": change(total, earlier, "failed"),
        },
    }


@router.get("/by-project", response_model=Answer[ByProject])
async def by_project(request: Request, caller: ReadCaller, asked: Annotated[MetricsQuery, Query()]) -> Response:
    """Each project and currency."""
    period, filters = resolved(request, asked)

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(BY_PROJECT.format(daily=DAILY, where=filters.where()), filters.used())
        projects = [{name: row[name] for name in ProjectMetrics.model_fields} for row in rows]
        return Draft({"period": period.model_dump(), "projects": projects})

    return await remembered(request, filters, made)


def resolved(request: Request, asked: Asked) -> tuple[Period, Asked]:
    """The span that is meant, and the filters with it set."""
    period = period_of(request.app.state.settings, asked.from_date, asked.to_date)
    return period, within(asked, period)


def within(filters: Asked, period: Period) -> Asked:
    """The same filters over another span."""
    return filters.model_copy(update={"from_date": period.from_date, "to_date": period.to_date})


async def _totals(reader: Reader, filters: MetricFilters, period: Period) -> dict[str, Any] | None:
    limited = within(filters, period)
    return await reader.row(TOTALS.format(daily=DAILY, where=limited.where()), limited.used())


def _amounts(rows: list[dict[str, Any]], name: str) -> dict[str, str]:
    return {row["currency"]: row[name] for row in rows if row[name] is not None}


def _is_part_of(item: dict[str, Any], whole: dict[str, Any]) -> bool:
    return bool(item["is_by_source"] and item["is_by_currency"] and item["source"] == whole["source"])


def change(now: dict[str, Any], then: dict[str, Any] | None, name: str) -> float | None:
    """Relative change of a measure; None where there is nothing to compare with."""
    if now[name] is None:
        return None
    return round((now[name] - then[name]) / then[name], 6) if then and then[name] else None
