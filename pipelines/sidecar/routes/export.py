"""Exports as downloads. The work is done by extract.py in a thread of its own; here it is paced, stopped and audited.

A download takes as long as its reader: the database is read no faster than the client takes the bytes, and is freed as
soon as the client leaves. The headers come before the rows, so what only the end knows (the content hash) is in the
cover note: GET /api/v1/export/{export_id}/cover.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import anyio
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pipelines.core.redaction import redact
from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, Strict, respond
from pipelines.sidecar.auth import Caller, ExportCaller
from pipelines.sidecar.database import Database
from pipelines.sidecar.datasets import What
from pipelines.sidecar.errors import NotFound, TooManyRequests
from pipelines.sidecar.extract import MEDIA_TYPES, Export, Format, Outcome
from pipelines.sidecar.filters import Filters, MetricFilters, ReconciliationFilters, TransactionFilters

logger = logging.getLogger("pipelines.sidecar.export")

router = APIRouter(prefix="/export", tags=["export"])

MAX_EXPORTS = 4

T = TypeVar("T")

COVER = """
select
    export_id, actor as exported_by, dataset, format, filters, clock_at as clock, started_at,
    finished_at, outcome, as_of as export_as_of, row_count, content_sha256
from ops.exports
where export_id = %(id)s
"""

FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES.values()}},
}


class TransactionExport(TransactionFilters):
    """The filters of the list, and the format."""

    format: Format = "csv"


class ReconciliationExport(ReconciliationFilters):
    """Filters over all of the reconciliation, and the format."""

    format: Format = "csv"


class MetricExport(MetricFilters):
    """Filters over daily metrics, and the format."""

    format: Format = "csv"


class CoverNote(Strict):
    """What an export held. Hash and rows are those of the end, so they are null while it runs."""

    export_id: UUID
    exported_by: str
    dataset: What
    format: Format
    filters: dict[str, Any]
    clock: datetime
    started_at: datetime
    finished_at: datetime | None
    outcome: Literal["running", "completed", "cancelled", "failed"]
    export_as_of: datetime | None
    row_count: int | None
    content_sha256: str | None


class Exporters:
    """The threads that exports run in, and how many may run at once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_EXPORTS, thread_name_prefix="export")
        self._running: set[Export] = set()
        self._reserved = 0

    async def start(
        self, settings: Settings, what: What, filters: Filters, fmt: Format, caller: Caller
    ) -> "ExportResponse":
        """The download, open on its snapshot. Raises TooManyRequests when all threads are taken."""
        if self._reserved >= MAX_EXPORTS:
            raise TooManyRequests(f"{MAX_EXPORTS} exports are running already.", retry_after_seconds=10)
        self._reserved += 1
        try:
            export = await self.run(lambda: Export(settings, what, filters, fmt, actor=caller.name))
        except BaseException:
            self._reserved -= 1
            raise
        self._running.add(export)
        return ExportResponse(self, export)

    async def finish(self, export: Export, outcome: Outcome) -> None:
        """Free the database and the place, once, whatever the request that asked is going through."""
        if export not in self._running:
            return
        self._running.discard(export)
        with anyio.CancelScope(shield=True):
            try:
                await self.run(lambda: export.close(outcome))
            finally:
                self._reserved -= 1

    async def run(self, work: Callable[[], T], *, interrupt: Callable[[], None] | None = None) -> T:
        """`work` in one of the threads. A cancelled wait calls `interrupt` and still sees the thread come back."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                if interrupt is not None:
                    await asyncio.to_thread(interrupt)
                await asyncio.wait([future])
            raise

    async def close(self) -> None:
        """Stop what still runs; the server is going down."""
        for export in self._running:
            await asyncio.to_thread(export.interrupt)
        await asyncio.to_thread(self._threads.shutdown, wait=True)


class ExportResponse(StreamingResponse):
    """A file that is made while it is sent."""

    def __init__(self, exporters: Exporters, export: Export) -> None:
        self._exporters, self._export = exporters, export
        self._outcome: Outcome = "cancelled"
        headers = {
            "Content-Disposition": f'attachment; filename="{export.file_name}"',
            "Cache-Control": "private, no-store",
            "X-Row-Count": str(export.rows),
            "X-Export-Id": str(export.id),
            "X-As-Of": export.as_of.isoformat() if export.as_of else "",
            "X-Content-Type-Options": "nosniff",
            "Link": f'</api/v1/export/{export.id}/cover>; rel="describedby"',
        }
        super().__init__(self._chunks(), headers=headers, media_type=MEDIA_TYPES[export.format])

    async def _chunks(self) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = self._export.chunks()
        while (
            piece := await self._exporters.run(lambda: next(pieces, None), interrupt=self._export.interrupt)
        ) is not None:
            yield piece
        # Before the client sees the end, so that whoever has the file also has its cover note.
        await self._exporters.finish(self._export, "completed")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Exception as error:
            # The status has been sent; all that is left is to break off, so that the client sees an unfinished file.
            self._outcome = "failed"
            logger.error("Export %s broke off: %s", self._export.id, redact(str(error)))
        finally:
            await self._exporters.finish(self._export, self._outcome)


@router.get("/transactions", response_class=Response, responses=FILE)
async def export_transactions(
    request: Request, caller: ExportCaller, asked: Annotated[TransactionExport, Query()]
) -> Response:
    """Payment records, by the filters of the list."""
    return await _download(request, caller, "transactions", asked, asked.format)


@router.get("/reconciliation", response_class=Response, responses=FILE)
async def export_reconciliation(
    request: Request, caller: ExportCaller, asked: Annotated[ReconciliationExport, Query()]
) -> Response:
    """Reconciliation rows, also those that are matched."""
    return await _download(request, caller, "reconciliation", asked, asked.format)


@router.get("/metrics", response_class=Response, responses=FILE)
async def export_metrics(request: Request, caller: ExportCaller, asked: Annotated[MetricExport, Query()]) -> Response:
    """Daily metrics."""
    return await _download(request, caller, "metrics", asked, asked.format)


@router.get("/{export_id}/cover", response_model=Answer[CoverNote])
async def cover(request: Request, caller: ExportCaller, export_id: UUID) -> Response:
    """The cover note of an export: what was asked, as of when, how many rows, which content hash."""
    database: Database = request.app.state.database
    async with database.snapshot() as reader:
        row = await reader.row(COVER, {"id": export_id})
    if row is None:
        raise NotFound("There is no such export.")
    return respond(request, row, reader.freshness)


async def _download(request: Request, caller: Caller, what: What, filters: Filters, fmt: Format) -> Response:
    exporters: Exporters = request.app.state.exporters
    return await exporters.start(request.app.state.settings, what, filters, fmt, caller)
