"""How far each source has come and how its newest load went; starting a load; and how any run stands."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import model_validator

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import REFUSALS, Answer, ErrorAnswer, Strict, respond
from pipelines.sidecar.auth import OperateCaller, ReadCaller
from pipelines.sidecar.dagster_client import ASKED_BY, BUSINESS_DATE, PARTITION, DagsterClient, RunState
from pipelines.sidecar.database import Database
from pipelines.sidecar.errors import NotFound
from pipelines.sidecar.filters import BusinessDate
from pipelines.sidecar.freshness import Freshness
from pipelines.sidecar.runs import Operator
from pipelines.sidecar.shapes import Flow, Source

router = APIRouter(tags=["sync"])

# The watermark is the one that the marts hold; the load is the newest one, also when no marts were built after it.
STATUS = """
select
    health.source,
    health.flow,
    case loads.status when 'running' then 'running' when 'failed' then 'failed' else 'idle' end as status,
    loads.started_at as last_sync_at,
    loads.last_success_at as last_successful_sync,
    health.rows_total as records_synced,
    case when loads.status <> 'running' then
        loads.started_at + make_interval(
            secs => case health.source when 'vima' then %(vima_poll)s else %(payshack_poll)s end
        )
    end as next_sync_at,
    health.watermark,
    extract(epoch from %(now)s - health.watermark)::float8 as lag_seconds,
    loads.error as error_message,
    loads.cursor_value as last_cursor
from marts.rpt_source_health as health
left join ops.source_loads as loads
    on health.source = loads.source
order by health.source, health.flow
"""


class SyncStatus(Strict):
    """One flow of one source. `records_synced` counts versions in the raw log."""

    source: Source
    flow: Flow
    status: Literal["idle", "running", "failed"]
    last_sync_at: datetime | None
    last_successful_sync: datetime | None
    records_synced: int
    next_sync_at: datetime | None
    watermark: datetime | None
    lag_seconds: float | None
    error_message: str | None
    last_cursor: str | None


class SyncState(Strict):
    """All sources and flows."""

    sources: list[SyncStatus]


@router.get("/sync/status", response_model=Answer[SyncState])
async def status(request: Request, caller: ReadCaller) -> Response:
    """How far each source and flow has come."""
    database: Database = request.app.state.database
    settings: Settings = request.app.state.settings
    parameters = {
        "now": settings.clock(),
        "vima_poll": settings.vima_poll_seconds,
        "payshack_poll": settings.payshack_poll_seconds,
    }
    async with database.snapshot() as reader:
        sources = await reader.rows(STATUS, parameters)
    return respond(request, {"sources": sources}, reader.freshness)


class SyncRequest(Strict):
    """Which source, both when null; and which UTC created days again, none of them to go on from the cursor."""

    source: Source | None = None
    from_date: BusinessDate | None = None
    to_date: BusinessDate | None = None

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.from_date is None) is not (self.to_date is None):
            raise ValueError("give both from_date and to_date, or neither")
        if self.from_date and self.to_date and self.from_date > self.to_date:
            raise ValueError("from_date is after to_date")
        return self


class StartedRun(Strict):
    """A run that was started; `day` is null for one that goes on from the cursor."""

    run_id: UUID
    source: Source
    day: BusinessDate | None


class Triggered(Strict):
    """What was started. GET /api/v1/runs/{run_id} tells how it goes."""

    run_ids: list[UUID]
    runs: list[StartedRun]


class RunStatus(Strict):
    """One run of Dagster. `day`: the UTC created day that it reads; `asked_by`: the key that asked for it."""

    run_id: UUID
    job: str
    status: RunState
    day: str | None
    business_date: str | None
    asked_by: str | None
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@router.post("/sync/trigger", response_model=Answer[Triggered], status_code=202, responses=REFUSALS)
async def trigger(request: Request, caller: OperateCaller, asked: SyncRequest) -> Response:
    """Start a load of one source or of both; 409 while the same is on its way."""
    operator: Operator = request.app.state.operator
    settings: Settings = request.app.state.settings
    sources: list[Source] = [asked.source] if asked.source else ["vima", "payshack"]
    if asked.from_date and asked.to_date:
        started = await operator.window(sources, asked.from_date, asked.to_date, asked_by=caller.name)
    else:
        started = await operator.feed(sources, now=settings.clock(), asked_by=caller.name)
    data = {"run_ids": [run.run_id for run in started], "runs": [asdict(run) for run in started]}
    return respond(request, data, await _freshness(request), status=202)


@router.get("/runs/{run_id}", response_model=Answer[RunStatus], responses={502: {"model": ErrorAnswer}})
async def run_status(request: Request, caller: ReadCaller, run_id: UUID) -> Response:
    """How a run stands."""
    dagster: DagsterClient = request.app.state.dagster
    run = await dagster.run(str(run_id))
    if run is None:
        raise NotFound("There is no such run.")
    data = {
        "run_id": run.run_id,
        "job": run.job,
        "status": run.state,
        "day": run.tags.get(PARTITION),
        "business_date": run.tags.get(BUSINESS_DATE),
        "asked_by": run.tags.get(ASKED_BY),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }
    return respond(request, data, await _freshness(request))


async def _freshness(request: Request) -> Freshness:
    database: Database = request.app.state.database
    return await database.freshness()
