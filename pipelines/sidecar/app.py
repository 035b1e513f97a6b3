"""Puts the parts together. Starts without a database and without marts, and serves as soon as they are there."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import ErrorAnswer
from pipelines.sidecar.auth import Gate
from pipelines.sidecar.dagster_client import DagsterClient
from pipelines.sidecar.database import Database
from pipelines.sidecar.document import install_document
from pipelines.sidecar.errors import install_error_handlers
from pipelines.sidecar.keys import KeyRing
from pipelines.sidecar.listings import Lister
from pipelines.sidecar.live import Feed
from pipelines.sidecar.remembered import Remembered, Revision
from pipelines.sidecar.routes import (
    breakdowns,
    breaks,
    dashboards,
    export,
    health,
    heatmap,
    live,
    metrics,
    page,
    reconciliation,
    sync,
    transactions,
    trends,
)
from pipelines.sidecar.runs import Operator
from pipelines.sidecar.shapes import Reconciliation, Transaction

DESCRIPTION = """Read API, exports and live pings over the marts. Amounts are exact decimals in JSON strings;
instants are UTC; `from_date` and `to_date` are business dates, inclusive.
`meta.as_of` says up to when all sources are complete."""

SHOWN_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Link",
    "Retry-After",
    "X-As-Of",
    "X-Export-Id",
    "X-Row-Count",
)


def create_app(settings: Settings) -> FastAPI:
    """The application. Nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database, dagster = Database(settings), DagsterClient(settings)
            await database.open()
            stack.push_async_callback(database.close)
            stack.push_async_callback(dagster.close)
            revision = Revision()
            feed = Feed(settings, database, revision)
            stack.push_async_callback(feed.stop)
            feed.start()
            exporters = export.Exporters()
            stack.push_async_callback(exporters.close)
            app.state.settings = settings
            app.state.database = database
            app.state.gate = Gate(KeyRing(settings))
            app.state.health = health.HealthCheck(database, dagster)
            app.state.revision = revision
            app.state.remembered = Remembered(settings, database, revision)
            app.state.transactions = Lister(fact="fct_transactions", row=Transaction, unique="transaction_id")
            app.state.reconciliations = Lister(
                fact="fct_reconciliation", row=Reconciliation, unique="reconciliation_id"
            )
            app.state.feed = feed
            app.state.dagster, app.state.operator = dagster, Operator(dagster)
            app.state.exporters = exporters
            yield

    app = FastAPI(
        title="PSP data platform sidecar",
        description=DESCRIPTION,
        version=version("psp-data-platform"),
        lifespan=lifespan,
        redoc_url=None,
    )
    install_error_handlers(app)
    if settings.cors_origins:
        # No cookies: a key is sent by whoever holds it, so no origin gets more than it could have from elsewhere.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match"],
            expose_headers=SHOWN_HEADERS,
        )
    api = APIRouter(
        prefix="/api/v1", responses={code: {"model": ErrorAnswer} for code in (400, 401, 403, 404, 429, 503)}
    )
    for topic in (
        health,
        transactions,
        metrics,
        trends,
        breakdowns,
        heatmap,
        reconciliation,
        breaks,
        sync,
        export,
        live,
    ):
        api.include_router(topic.router)
    app.include_router(api)
    app.include_router(live.socket_router)
    app.include_router(page.router)
    app.include_router(dashboards.router)
    install_document(app)
    return app
