"""A heatmap: one measure over two axes out of weekday, hour, project and business date.

Hours are those of the business zone, which need not be whole hours from UTC. `break_rate` is breaks per 10,000
comparable rows of fct_reconciliation, which knows projects and hours but no source: with it, the filter `source` is
refused.
"""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Request, Response
from psycopg import sql
from pydantic import model_validator

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, Strict
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Reader
from pipelines.sidecar.periods import Period
from pipelines.sidecar.relations import BUSINESS_HOURS
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.routes.metrics import MetricsQuery, resolved
from pipelines.sidecar.shapes import Amount

router = APIRouter(prefix="/metrics", tags=["metrics"], responses=NOT_CHANGED)

Dimension = Literal["hour_day", "project_hour", "project_day"]
Measure = Literal["amount", "count", "success_rate", "break_rate"]

# Weekdays are ISO's, Monday is 1.
AXES: dict[Dimension, tuple[str, str]] = {
    "hour_day": ("extract(isodow from business_date)::int::text", "{hour}"),
    "project_hour": ("project", "{hour}"),
    "project_day": ("project", "business_date::text"),
}
HOUR = "extract(hour from {at} at time zone %(zone)s)::int::text"
CELLS: dict[Measure, str] = {
    "count": "sum(created_count)::bigint",
    "amount": "sum(created_amount)",
    "success_rate": "round(sum(success_count)::numeric"
    " / nullif(sum(success_count + failed_count + expired_count), 0), 6)::float8",
    "break_rate": "round(10000 * count(*) filter (where outcome <> 'matched')::numeric"
    " / nullif(count(*) filter (where comparability = 'comparable'), 0), 4)::float8",
}
HEATMAP = sql.SQL(
    "select {row} as row, {column} as column, {value} as value"
    " from {relation} where {where} group by 1, 2 order by 1, 2"
)


class HeatmapQuery(MetricsQuery):
    """Which two axes, and what stands in a cell."""

    dimension: Dimension = "hour_day"
    metric: Measure = "count"

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        if self.metric == "amount" and len(self.currency) != 1:
            raise ValueError("metric=amount needs exactly one currency: different ones are never added up")
        if self.metric == "break_rate" and self.source:
            raise ValueError("metric=break_rate is of both sources, so it takes no source")
        return self


class Cell(Strict):
    """`row` and `column` as text: weekday (1 is Monday), hour of the business zone (0 to 23), project or date."""

    row: str
    column: str
    value: Amount | int | float | None


class Heatmap(Strict):
    """Cells that hold payments; an absent cell has none."""

    period: Period
    dimension: Dimension
    metric: Measure
    cells: list[Cell]


@router.get("/heatmap", response_model=Answer[Heatmap])
async def heatmap(request: Request, caller: ReadCaller, asked: Annotated[HeatmapQuery, Query()]) -> Response:
    """One measure over two axes."""
    settings: Settings = request.app.state.settings
    period, filters = resolved(request, asked)
    query = _heatmap_query(filters)

    async def made(reader: Reader) -> Draft:
        cells = await reader.rows(query, filters.used() | {"zone": settings.psp_business_timezone})
        head = {"period": period.model_dump(), "dimension": asked.dimension, "metric": asked.metric}
        return Draft(head | {"cells": cells})

    return await remembered(request, filters, made)


def _heatmap_query(asked: HeatmapQuery) -> sql.Composed:
    from_breaks = asked.metric == "break_rate"
    hour = HOUR.format(at="event_at" if from_breaks else "bucket_at")
    row, column = (axis.format(hour=hour) for axis in AXES[asked.dimension])
    # Without the instant of its event a row has no hour; it is in the maps by day.
    timed = from_breaks and asked.dimension != "project_day"
    return HEATMAP.format(
        row=sql.SQL(row),
        column=sql.SQL(column),
        value=sql.SQL(CELLS[asked.metric]),
        relation=sql.SQL("marts.fct_reconciliation") if from_breaks else BUSINESS_HOURS,
        where=asked.where() + sql.SQL(" and event_at is not null" if timed else ""),
    )
