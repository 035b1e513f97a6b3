"""Success as the contract words it: {"data": ..., "meta": {"as_of", "stale", ...}}, encoded once, exactly.

Amounts arrive here as the text that PostgreSQL wrote (see database.py) and leave as JSON strings: no number of money is
ever a binary float. Instants are UTC and end in Z.
"""

from typing import Any, Generic, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict

from pipelines.sidecar.freshness import Freshness

JSON = "application/json"

_encoder = msgspec.json.Encoder()

T = TypeVar("T")


class Strict(BaseModel):
    """A shape of the contract: nothing beside what it names."""

    model_config = ConfigDict(extra="forbid")


class Meta(Strict):
    """`as_of`: all sources are complete up to here, null before the first pass; `stale`: that is too long ago."""

    as_of: str | None
    stale: bool


class PageMeta(Meta):
    """Which page of how many."""

    page: int
    limit: int
    total: int
    total_pages: int


class Answer(Strict, Generic[T]):
    """One thing."""

    data: T
    meta: Meta


class Listing(Strict, Generic[T]):
    """One page of many things."""

    data: list[T]
    meta: PageMeta


class ErrorBody(Strict):
    """What went wrong, for programs (`code`), for people (`message`), and where (`details`)."""

    code: str
    message: str
    details: dict[str, object]


class ErrorAnswer(Strict):
    """Every answer that is not a success."""

    error: ErrorBody


REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (409, 502)}
"""How a path that starts something may end beside the ways that all paths share."""


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return _encoder.encode(value)


def respond(request: Request, data: object, freshness: Freshness, *, status: int = 200) -> Response:
    """An answer that no one keeps, with how fresh the marts are; remembered.py has those that are kept."""
    now = request.app.state.settings.clock()
    meta = {"as_of": freshness.as_of, "stale": freshness.is_stale(now)}
    return Response(
        encode({"data": data, "meta": meta}),
        status_code=status,
        media_type=JSON,
        headers={"Cache-Control": "private, no-store"},
    )


def paging(*, page: int, limit: int, total: int) -> dict[str, int]:
    """The `meta` of a page."""
    return {"page": page, "limit": limit, "total": total, "total_pages": -(-total // limit)}
