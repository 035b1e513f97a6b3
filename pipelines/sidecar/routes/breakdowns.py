"""Metrics cut in other ways: by source, against another span, by kind of failure, by time to the end.

Sums over the rpt_metrics marts as in metrics.py, and rates from the sums.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql
from pydantic import Field

from pipelines.sidecar.answers import Answer, Strict
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Reader
from pipelines.sidecar.periods import Compare, Period, compared_with
from pipelines.sidecar.relations import DAILY
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.routes.metrics import MEASURES, BySource, MetricsQuery, change, resolved, within
from pipelines.sidecar.shapes import Amount, Amounts, Source

router = APIRouter(prefix="/metrics", tags=["metrics"], responses=NOT_CHANGED)

BY_SOURCE = sql.SQL(
    "select source, currency, grouping(currency) = 0 as is_by_currency," + MEASURES + "from {daily} where {where}"
    " group by grouping sets ((source), (source, currency)) order by source, currency"
)
COMPARED = sql.SQL(
    "select project, currency,"
    + MEASURES
    + "from {daily} where {where} group by project, currency order by project, currency"
)
FAILURES = sql.SQL(
    """
    select
        source, coalesce(project, 'unknown') as project, coalesce(payment_method, 'unknown') as payment_method,
        coalesce(status_raw, 'unknown') as status_raw, coalesce(currency, 'unknown') as currency,
        count(*) as count, coalesce(sum(amount), 0) as amount
    from marts.fct_transactions
    where status = 'failed' and {where}
    group by 1, 2, 3, 4, 5
    order by count desc, 1, 2, 3, 4, 5
    limit %(limit)s
    """
)
BOUNDS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600)
"""Seconds to the final state at which the histogram of fct_metrics_daily is cut."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
LATENCY = sql.SQL(
    """
    select source, {buckets}, sum(final_later_count)::bigint as later
    from {daily}
    where {where}
    group by source
    order by source
    """
)
WITHIN = sql.SQL(", ").join(
    sql.SQL("sum({})::bigint as {}").format(
        sql.Identifier(f"final_within_{bound}s_count"), sql.Identifier(f"within_{bound}")
    )
    for bound in BOUNDS
)


class ComparisonQuery(MetricsQuery):
    """With which span each project is compared."""

    compare: Literal["previous", "same_weekday"] = "previous"


class FailuresQuery(MetricsQuery):
    """How many kinds of failure, the most frequent first."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50


class BySources(Strict):
    """The same payments as each source sees them."""

    period: Period
    sources: list[BySource]


class Side(Strict):
    """One span of one project and currency."""

    count: int
    amount: Amount
    success_rate: float | None


class Compared(Strict):
    """One project and currency in both spans; changes are relative, null when there was nothing then."""

    project: str
    currency: str
    now: Side | None
    then: Side | None
    count_change: float | None
    success_rate_change: float | None


class Comparison(Strict):
    """Every project of either span."""

    period: Period
    compared_with: Period
    projects: list[Compared]


class Failure(Strict):
    """Failed payments that a source describes in the same words."""

    source: Source
    project: str
    payment_method: str
    status_raw: str
    currency: str
    count: int
    amount: Amount


class Failures(Strict):
    """The most frequent kinds first."""

    period: Period
    failures: list[Failure]


class Bucket(Strict):
    """Payments that took more than the bucket before and at most so many seconds; null: more than the last bound."""

    up_to_seconds: int | None
    count: int


class SourceLatency(Strict):
    """Time from creation to the final state. A percentile is the upper bound of its bucket; null: beyond the last."""

    source: Source
    count: int
    buckets: list[Bucket]
    p50: int | None
    p90: int | None
    p95: int | None
    p99: int | None


class Latency(Strict):
    """Each source."""

    period: Period
    sources: list[SourceLatency]


@router.get("/by-source", response_model=Answer[BySources])
async def by_source(request: Request, caller: ReadCaller, asked: Annotated[MetricsQuery, Query()]) -> Response:
    """Each source by itself."""
    period, filters = resolved(request, asked)

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(BY_SOURCE.format(daily=DAILY, where=filters.where()), filters.used())
        amounts: dict[str, Amounts] = {}
        for row in rows:
            if row["is_by_currency"]:
                amounts.setdefault(row["source"], {})[row["currency"]] = row["amount"]
        sources = [
            {name: row[name] for name in ("source", "count", "conversion_rate", "success_rate")}
            | {"amount": amounts[row["source"]]}
            for row in rows
            if not row["is_by_currency"]
        ]
        return Draft({"period": period.model_dump(), "sources": sources})

    return await remembered(request, filters, made)


@router.get("/comparison", response_model=Answer[Comparison])
async def comparison(request: Request, caller: ReadCaller, asked: Annotated[ComparisonQuery, Query()]) -> Response:
    """Each project against an earlier span of the same length."""
    period, filters = resolved(request, asked)
    compare: Compare = asked.compare
    before = compared_with(period, compare) or period
    earlier = within(filters, before)

    async def made(reader: Reader) -> Draft:
        now = await reader.rows(COMPARED.format(daily=DAILY, where=filters.where()), filters.used())
        then = await reader.rows(COMPARED.format(daily=DAILY, where=earlier.where()), earlier.used())
        head = {"period": period.model_dump(), "compared_with": before.model_dump()}
        return Draft(head | {"projects": _side_by_side(now, then)})

    return await remembered(request, filters, made)


@router.get("/failures", response_model=Answer[Failures])
async def failures(request: Request, caller: ReadCaller, asked: Annotated[FailuresQuery, Query()]) -> Response:
    """What the sources say of payments that failed."""
    period, filters = resolved(request, asked)

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(FAILURES.format(where=filters.where()), filters.used() | {"limit": asked.limit})
        return Draft({"period": period.model_dump(), "failures": rows})

    return await remembered(request, filters, made)


@router.get("/latency", response_model=Answer[Latency])
async def latency(request: Request, caller: ReadCaller, asked: Annotated[MetricsQuery, Query()]) -> Response:
    """How long payments took to their final state."""
    period, filters = resolved(request, asked)

    async def made(reader: Reader) -> Draft:
        rows = await reader.rows(LATENCY.format(daily=DAILY, buckets=WITHIN, where=filters.where()), filters.used())
        return Draft({"period": period.model_dump(), "sources": [_latency(row) for row in rows]})

    return await remembered(request, filters, made)


def _side_by_side(now: list[dict[str, Any]], then: list[dict[str, Any]]) -> list[dict[str, Any]]:
    spans = [{(row["project"], row["currency"]): row for row in rows} for rows in (now, then)]
    found = []
    for project, currency in sorted(spans[0].keys() | spans[1].keys()):
        here, there = (span.get((project, currency)) for span in spans)
        found.append(
            {
                "project": project,
                "currency": currency,
                "now": _side(here),
                "then": _side(there),
                "count_change": change(here, there, "count") if here else None,
                "success_rate_change": change(here, there, "success_rate") if here else None,
            }
        )
    return found


def _side(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return {name: row[name] for name in Side.model_fields} if row else None


def _latency(row: dict[str, Any]) -> dict[str, Any]:
    counts = [row[f"within_{bound}"] for bound in BOUNDS] + [row["later"]]
    bounds = [*BOUNDS, None]
    total = sum(counts)
    return {
        "source": row["source"],
        "count": total,
        "buckets": [{"up_to_seconds": bound, "count": count} for bound, count in zip(bounds, counts, strict=True)],
        **{name: _quantile(counts, share * total) for name, share in QUANTILES.items()},
    }


def _quantile(counts: list[int], wanted: float) -> int | None:
    passed = 0
    for bound, count in zip(BOUNDS, counts, strict=False):
        passed += count
        if passed and passed >= wanted:
            return bound
    return None
