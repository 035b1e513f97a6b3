"""Reconciliation: the summary of some days, the rows that disagree, and running it."""

from datetime import date
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql
from pydantic import model_validator

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import REFUSALS, Answer, Listing, Strict, respond
from pipelines.sidecar.auth import OperateCaller, ReadCaller
from pipelines.sidecar.database import Database, Reader
from pipelines.sidecar.errors import Invalid
from pipelines.sidecar.filters import BusinessDate, DiscrepancyFilters, Page, SummaryFilters
from pipelines.sidecar.listings import Lister
from pipelines.sidecar.periods import Period, period_of
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.runs import Operator
from pipelines.sidecar.shapes import Amount, Amounts, BreakRow, Discrepant, columns

router = APIRouter(prefix="/reconciliation", tags=["reconciliation"])

# Counts are added up as they are; shares are of what can be compared, by the definition of rpt_reconciliation_daily.
COUNTS = sql.SQL(
    """
    select
        coalesce(sum(records_count), 0)::bigint as records,
        coalesce(sum(comparable_count), 0)::bigint as comparable,
        coalesce(sum(matched_count), 0)::bigint as matched,
        coalesce(sum(discrepancy_amount_count), 0)::bigint as discrepancy_amount,
        coalesce(sum(discrepancy_status_count), 0)::bigint as discrepancy_status,
        coalesce(sum(missing_vima_count), 0)::bigint as missing_vima,
        coalesce(sum(missing_payshack_count), 0)::bigint as missing_payshack,
        coalesce(sum(in_flight_count), 0)::bigint as in_flight,
        coalesce(sum(not_yet_comparable_count), 0)::bigint as not_yet_comparable,
        coalesce(sum(informational_count), 0)::bigint as informational,
        round(100 * sum(matched_count)::numeric / nullif(sum(comparable_count), 0), 4)::float8 as matched_percentage,
        round(
            100 * sum(discrepancy_amount_count + discrepancy_status_count)::numeric
            / nullif(sum(comparable_count), 0),
            4
        )::float8 as discrepancies_percentage,
        round(
            100 * sum(missing_vima_count + missing_payshack_count)::numeric / nullif(sum(comparable_count), 0), 4
        )::float8 as missing_percentage
    from marts.rpt_reconciliation_daily
    where {where}
    """
)
MONEY = sql.SQL(
    """
    select
        currency,
        sum(value_at_risk) as value_at_risk,
        sum(matched_amount) as matched_amount
    from marts.rpt_reconciliation_daily
    where {where}
    group by currency
    order by currency
    """
)
BRIDGE = sql.SQL(
    """
    select currency, cause, sum(amount) as amount, sum(items)::bigint as items
    from marts.rpt_bridge_daily
    where {where}
    group by currency, position, cause
    order by currency, position, cause
    """
)


BREAKS = sql.SQL(
    "select {} from marts.fct_breaks where reconciliation_id = any(%(ids)s) order by reconciliation_id, generation desc"
).format(columns(BreakRow))


class SummaryQuery(SummaryFilters):
    """One `date`, or a range; without either the last seven business dates."""

    date: BusinessDate | None = None

    @model_validator(mode="after")
    def _one_way_to_say_when(self) -> Self:
        if self.date and (self.from_date or self.to_date):
            raise ValueError("give either date, or from_date and to_date")
        return self


class DiscrepancyQuery(DiscrepancyFilters, Page):
    """Filters, page and order of the list."""

    sort_by: Literal["business_date", "event_at", "exposure", "project"] = "business_date"


class Share(Strict):
    """How many, and how much of what can be compared, in per cent; null when nothing can."""

    count: int
    percentage: float | None


class Discrepancies(Share):
    """Pairs that disagree."""

    by_type: dict[Literal["discrepancy_amount", "discrepancy_status"], int]


class Missing(Share):
    """Singles that are overdue."""

    missing_vima: int
    missing_payshack: int


class BridgeLine(Strict):
    """`vima_net` first, `payshack_net` last; between them each cause as Vima less PayShack, and what none explains."""

    cause: str
    amount: Amount
    items: int


class Summary(Strict):
    """`total` counts all rows; shares are of the `comparable` ones. Money by currency."""

    period: Period
    total: int
    comparable: int
    matched: Share
    discrepancies: Discrepancies
    missing: Missing
    in_flight: int
    not_yet_comparable: int
    informational: int
    matched_amount: Amounts
    value_at_risk: Amounts
    bridge: dict[str, list[BridgeLine]]


@router.get("/summary", response_model=Answer[Summary], responses=NOT_CHANGED)
async def summary(request: Request, caller: ReadCaller, asked: Annotated[SummaryQuery, Query()]) -> Response:
    """How the two systems agree over some business dates."""
    period = _period(request, asked)
    within = asked.model_copy(update={"from_date": period.from_date, "to_date": period.to_date})

    async def made(reader: Reader) -> Draft:
        counts = await reader.rows(COUNTS.format(where=within.where()), within.used())
        money = await reader.rows(MONEY.format(where=within.where()), within.used())
        bridge = await reader.rows(BRIDGE.format(where=within.where()), within.used())
        return Draft(_summary(period, counts[0], money, bridge))

    return await remembered(request, within, made)


@router.get("/discrepancies", response_model=Listing[Discrepant], responses=NOT_CHANGED)
async def discrepancies(request: Request, caller: ReadCaller, asked: Annotated[DiscrepancyQuery, Query()]) -> Response:
    """Rows whose two sides disagree or of which one is missing, one page of them."""
    lister: Lister = request.app.state.reconciliations

    async def made(reader: Reader) -> Draft:
        draft = await lister.page(reader, asked, asked, asked.sort_by)
        rows = draft.data
        found = await reader.rows(BREAKS, {"ids": [row["reconciliation_id"] for row in rows]}) if rows else []
        of_row: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            of_row.setdefault(row["reconciliation_id"], []).append(row)
        return Draft([row | {"breaks": of_row.get(row["reconciliation_id"], [])} for row in rows], draft.page)

    return await remembered(request, asked, made)


class RunRequest(Strict):
    """The business date whose result is wanted."""

    date: BusinessDate


class RunStarted(Strict):
    """GET /api/v1/runs/{run_id} tells how it goes, `reconciliation_completed` on the live feed what it changed."""

    run_id: UUID
    status: Literal["queued"]
    date: date


@router.post("/run", response_model=Answer[RunStarted], status_code=202, responses=REFUSALS)
async def run(request: Request, caller: OperateCaller, asked: RunRequest) -> Response:
    """Judge again whatever has changed or has come due, of any date; 409 while that is on its way."""
    operator: Operator = request.app.state.operator
    database: Database = request.app.state.database
    settings: Settings = request.app.state.settings
    if asked.date > settings.clock().astimezone(settings.business_zone).date():
        raise Invalid("date", "this business date has not begun")
    run_id = await operator.reconcile(asked.date, asked_by=caller.name)
    data = {"run_id": run_id, "status": "queued", "date": asked.date}
    return respond(request, data, await database.freshness(), status=202)


def _period(request: Request, asked: SummaryQuery) -> Period:
    one: date | None = asked.date
    return period_of(request.app.state.settings, one or asked.from_date, one or asked.to_date)


def _summary(
    period: Period, counts: dict[str, Any], money: list[dict[str, Any]], bridge: list[dict[str, Any]]
) -> dict[str, Any]:
    amounts = ("value_at_risk", "matched_amount")
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in bridge:
        lines.setdefault(row["currency"], []).append({name: row[name] for name in BridgeLine.model_fields})
    return {
        "period": period.model_dump(),
        "total": counts["records"],
        "comparable": counts["comparable"],
        "matched": {"count": counts["matched"], "percentage": counts["matched_percentage"]},
        "discrepancies": {
            "count": counts["discrepancy_amount"] + counts["discrepancy_status"],
            "percentage": counts["discrepancies_percentage"],
            "by_type": {name: counts[name] for name in ("discrepancy_amount", "discrepancy_status")},
        },
        "missing": {
            "count": counts["missing_vima"] + counts["missing_payshack"],
            "percentage": counts["missing_percentage"],
            "missing_vima": counts["missing_vima"],
            "missing_payshack": counts["missing_payshack"],
        },
        **{name: counts[name] for name in ("in_flight", "not_yet_comparable", "informational")},
        **{name: {row["currency"]: row[name] for row in money} for name in amounts},
        "bridge": lines,
    }
