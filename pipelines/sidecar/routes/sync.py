"""GET /api/v1/sync/status: how far each source has come, and how its newest load went."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, Strict, respond
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Database
from pipelines.sidecar.shapes import Flow, Source

router = APIRouter(prefix="/sync", tags=["sync"])

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


@router.get("/status", response_model=Answer[SyncState])
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
    return respond({"sources": sources}, reader.freshness)
