"""Success as the contract words it: {"data": ..., "meta": {"as_of", "stale", ...}}, encoded once, exactly.

Amounts arrive here as the text that PostgreSQL wrote (see database.py) and leave as JSON strings: no number of money is
ever a binary float. Instants are UTC and end in Z.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec
from fastapi import Response
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


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return _encoder.encode(value)


def respond(data: object, freshness: Freshness, *, page: Mapping[str, int] | None = None) -> Response:
    """The answer, with how fresh it is and, for a list, which page it is."""
    meta = {"as_of": freshness.as_of, "stale": freshness.stale, **(page or {})}
    return Response(
        encode({"data": data, "meta": meta}), media_type=JSON, headers={"Cache-Control": "private, no-cache"}
    )


def paging(*, page: int, limit: int, total: int) -> dict[str, int]:
    """The `meta` of a page."""
    return {"page": page, "limit": limit, "total": total, "total_pages": -(-total // limit)}
