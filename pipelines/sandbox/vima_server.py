"""The sandbox Vima: the collector API as one real HTTP server on loopback.

    world (operations up to now) -> cursor or created days -> page of at most 100 -> JSON array

Key in the query or HTTP Basic; a cursor may be exclusive or inclusive, since the real one's is not known; answers are
bare arrays, or wrapped as {"operations": [...]}.
"""

import base64
import binascii
import hmac
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.core.clock import Clock
from pipelines.sandbox.books import VimaBooks
from pipelines.sandbox.faults import Faults

MAX_COUNT = 100
MAX_ID_DIGITS = 19


class BadRequest(Exception):
    """A parameter that cannot be read."""


def create_app(
    books: VimaBooks,
    state: dict[str, Any],
    *,
    clock: Clock,
    inclusive: bool = False,
    wrapped: bool = False,
    faults: Faults | None = None,
) -> Starlette:
    """The application over the world; `state` is the sandbox.json with the address and the invented key."""
    access = state["vima"]
    faults = faults or Faults()
    now = faults.clock(clock)
    head, tail = (b'{"operations": [', b"]}") if wrapped else (b"[", b"]")

    async def operations(request: Request) -> Response:
        if not _is_known(request, access["api_key"]):
            return JSONResponse({"error": "apikey is missing or wrong"}, status_code=401)
        faults.hurry()
        try:
            records = faults.rearranged(_asked(books, request.query_params, now(), inclusive=inclusive))
        except BadRequest as bad:
            return JSONResponse({"error": str(bad)}, status_code=400)
        return Response(head + b",\n".join(records) + tail, media_type="application/json")

    path = f"{urlsplit(access['base_url']).path.rstrip('/')}/operation"
    return Starlette(routes=[Route(path, operations, methods=["GET"])])


def _asked(books: VimaBooks, query: QueryParams, now: datetime, *, inclusive: bool) -> list[bytes]:
    count = min(_number(query, "count", MAX_COUNT), MAX_COUNT)
    project, status = query.get("project") or None, query.get("status") or None
    common: dict[str, Any] = {"now": now.astimezone(UTC), "count": count, "project": project, "status": status}
    if "from_operation_update_id" in query:
        after = _number(query, "from_operation_update_id", 0)
        return books.changed(after=after, inclusive=inclusive, **common)
    day = _day(query, "date")
    first, last = (day, day) if day else (_day(query, "from"), _day(query, "to"))
    return books.created(
        after=_number(query, "from_operation_create_id", 0),
        inclusive=inclusive,
        first_day=first,
        last_day=last,
        # Cursors need the oldest first.
        descending="from_operation_create_id" not in query and query.get("descending", "true") == "true",
        **common,
    )


def _is_known(request: Request, key: str) -> bool:
    given = request.query_params.get("apikey", "")
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    return hmac.compare_digest(given.encode(), key.encode())


def _number(query: QueryParams, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS):
        raise BadRequest(f"{name} is not a number")
    return int(text)


def _day(query: QueryParams, name: str) -> date | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise BadRequest(f"{name} is not a day, YYYY-MM-DD") from None
