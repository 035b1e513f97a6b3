"""GET /api/v1/health: whether the parts answer. Open to all, so it tells no data and asks at most once a second."""

import asyncio
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

import psycopg
from fastapi import APIRouter, Request, Response
from psycopg_pool import PoolClosed, PoolTimeout

from pipelines.sidecar import freshness
from pipelines.sidecar.answers import Answer, Strict, respond
from pipelines.sidecar.dagster_client import DagsterClient
from pipelines.sidecar.database import Database
from pipelines.sidecar.errors import Unavailable
from pipelines.sidecar.freshness import Freshness

KEPT_SECONDS = 1.0

router = APIRouter(tags=["health"])


class DatabaseHealth(Strict):
    """`no_marts`: it answers, but nothing has been loaded and modelled yet."""

    status: Literal["up", "no_marts", "down"]


class DagsterHealth(Strict):
    """`degraded`: the webserver answers, but a daemon that must run does not."""

    status: Literal["up", "degraded", "down"]
    version: str | None
    unhealthy_daemons: list[str]


class Services(Strict):
    """What the sidecar stands on."""

    database: DatabaseHealth
    dagster: DagsterHealth


class Health(Strict):
    """`ok` when all is up, `degraded` when answers come but something is not well."""

    status: Literal["ok", "degraded", "down"]
    version: str
    services: Services


@dataclass
class HealthCheck:
    """Asks the parts, and keeps what they said for a moment: the path is open, so it must not be a way to load them."""

    database: Database
    dagster: DagsterClient
    _kept: tuple[float, dict[str, object], Freshness] | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def state(self) -> tuple[dict[str, object], Freshness]:
        """The health, and how fresh the marts are."""
        async with self._asking:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_SECONDS:
                (database, fresh), dagster = await asyncio.gather(self._database(), self.dagster.health())
                well = database == "up" and dagster["status"] == "up"
                status = "down" if database == "down" else "ok" if well else "degraded"
                data: dict[str, object] = {
                    "status": status,
                    "version": version("psp-data-platform"),
                    "services": {"database": {"status": database}, "dagster": dagster},
                }
                self._kept = (time.monotonic(), data, fresh)
            return self._kept[1:]

    async def _database(self) -> tuple[str, Freshness]:
        try:
            async with self.database.snapshot() as reader:
                return "up", reader.freshness
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            return ("no_marts" if isinstance(error, psycopg.ProgrammingError) else "down"), freshness.UNKNOWN


@router.get("/health", response_model=Answer[Health])
async def health(request: Request) -> Response:
    """Whether the sidecar, the database and Dagster are up; 503 when the database is not."""
    check: HealthCheck = request.app.state.health
    data, fresh = await check.state()
    if data["status"] == "down":
        raise Unavailable("The database cannot be reached. `psp doctor` tells why.", details=data)
    return respond(request, data, fresh)
