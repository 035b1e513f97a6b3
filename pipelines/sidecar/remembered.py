"""Answers are made once and kept until the marts change: a repeated question costs the database nothing.

    question, revision -> kept? -> the kept bytes              (304 when the client holds them already)
                       -> being asked? -> waits for that one
                       -> one snapshot -> bytes, kept under the revision that was current before the snapshot

The revision moves with every announcement of the live feed (live.py), so what was read before a change is never given
after it was heard. While nobody listens (the database is away) nothing is kept.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import JSON, encode
from pipelines.sidecar.database import Database, Reader
from pipelines.sidecar.freshness import Freshness

KEPT_BYTES = 64 * 1024 * 1024

KEEP_AND_ASK = "private, no-cache"
"""A client may keep the answer, and asks each time whether it still holds: that costs no work here."""


NOT_CHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The answer whose ETag was sent in If-None-Match still holds"}
}
"""How a remembered answer may end beside the ways that all paths share."""


class Revision:
    """How often the marts have changed since this process began to listen; None while nobody listens."""

    def __init__(self) -> None:
        self._number = 0
        self._heard = False

    @property
    def current(self) -> int | None:
        """Equal numbers mean equal marts."""
        return self._number if self._heard else None

    def move(self) -> None:
        """Something has changed, and whatever comes next will be heard."""
        self._number += 1
        self._heard = True

    def lose(self) -> None:
        """What changes from now on is not heard."""
        self._number += 1
        self._heard = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What a route has found. `page`: which page of how many, for a list."""

    data: object
    page: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it is kept: encoded, with what its meta is made of."""

    revision: int | None
    data: bytes
    digest: str
    freshness: Freshness
    page: Mapping[str, int] | None


Make = Callable[[Reader], Awaitable[Draft]]


class Remembered:
    """The kept answers of one process, the least used dropped first."""

    def __init__(self, settings: Settings, database: Database, revision: Revision) -> None:
        self._clock, self._database, self._revision = settings.clock, database, revision
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0
        self._asking: dict[tuple[str, int], asyncio.Task[Kept]] = {}

    async def answer(self, request: Request, question: object, make: Make) -> Response:
        """The answer to `question`, which must tell all that `make` depends on beside the marts."""
        found = await self._find(f"{request.scope['route'].path} {question!r}", make)
        return self._respond(request, found)

    async def _find(self, question: str, make: Make) -> Kept:
        revision = self._revision.current
        if revision is None:
            return await self._make(None, make)
        kept = self._kept.get(question)
        if kept is not None and kept.revision == revision:
            self._kept.move_to_end(question)
            return kept
        task = self._asking.get((question, revision))
        if task is None:
            task = asyncio.create_task(self._ask(question, revision, make))
            self._asking[question, revision] = task
        # Another client may wait for the same answer, so one that leaves does not take it away.
        return await asyncio.shield(task)

    async def _ask(self, question: str, revision: int, make: Make) -> Kept:
        try:
            made = await self._make(revision, make)
            self._keep(question, made)
            return made
        finally:
            self._asking.pop((question, revision), None)

    async def _make(self, revision: int | None, make: Make) -> Kept:
        async with self._database.snapshot() as reader:
            draft = await make(reader)
        data = encode(draft.data)
        page = encode(draft.page or {})
        digest = hashlib.blake2b(data + page + encode(reader.freshness.as_of), digest_size=12).hexdigest()
        return Kept(revision, data, digest, reader.freshness, draft.page)

    def _keep(self, question: str, made: Kept) -> None:
        before = self._kept.pop(question, None)
        self._bytes += len(made.data) - (len(before.data) if before else 0)
        self._kept[question] = made
        while self._bytes > KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.data)

    def _respond(self, request: Request, kept: Kept) -> Response:
        stale = kept.freshness.is_stale(self._clock())
        tag = f'"{kept.digest}{"-stale" if stale else ""}"'
        headers = {"Cache-Control": KEEP_AND_ASK, "ETag": tag, "Vary": "Authorization"}
        if _holds(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        meta = encode({"as_of": kept.freshness.as_of, "stale": stale, **(kept.page or {})})
        return Response(
            b'{"data":' + kept.data + b',"meta":' + meta + b"}", status_code=200, media_type=JSON, headers=headers
        )


def _holds(header: str | None, tag: str) -> bool:
    """Whether the client holds the answer that `tag` stands for already."""
    if header is None:
        return False
    return header.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in header.split(","))


async def remembered(request: Request, question: object, make: Make) -> Response:
    """The answer of this process's memory; for routes."""
    memory: Remembered = request.app.state.remembered
    return await memory.answer(request, question, make)
