"""A Vima of a few invented operations as a real HTTP server, which a test may change between two requests."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.core.postgres import connect
from pipelines.core.settings import Settings

KEY = "invented-key-9911"
START = datetime(2026, 1, 14, tzinfo=UTC)
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def operation(number: int, **fields: Any) -> dict[str, Any]:
    """An operation whose ids are longer than 2^53 and whose update id follows its number."""
    created = (START + timedelta(minutes=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {
        "operation_id": str(2 * 10**18 + number),
        "client_operation_id": f"ORDER{number:08d}",
        "project": "91game",
        "current_status": "in_process",
        "complete_amount": 100.5,
        "complete_currency": "INR",
        "operation_created_at": created,
        "operation_modified_at": created,
        "operation_create_id": str(3 * 10**18 + number),
        "operation_update_id": str(3 * 10**18 + number),
    }
    return known | fields


@dataclass
class TinyVima:
    """One running server. `before` is called with the number of the request, from 1; it may return an answer."""

    url: str = ""
    rows: list[Any] = field(default_factory=list)
    inclusive: bool = False
    wrapped: bool = False
    before: Callable[[int], Response | None] = lambda number: None
    requests: int = 0

    def change(self, number: int, update: int, **fields: Any) -> None:
        """A later change of operation `number`, as the provider shows it: the new state under a greater update id."""
        place = next(i for i, row in enumerate(self.rows) if row.get("operation_id") == str(2 * 10**18 + number))
        self.rows[place] = {**self.rows[place], "operation_update_id": str(3 * 10**18 + update), **fields}

    def answer(self, request: Request) -> Response:
        self.requests += 1
        told = self.before(self.requests)
        if told is not None:
            return told
        query = request.query_params
        if query.get("apikey") != KEY:
            return Response(b'{"error":"apikey"}', status_code=401, media_type="application/json")
        name = "operation_update_id" if "from_operation_update_id" in query else "operation_create_id"
        cursor = int(query[f"from_{name}"])
        rows = [row for row in self.rows if "date" not in query or _day(row) == query["date"]]
        page = [row for row in sorted(rows, key=lambda row: _order(row, name)) if _is_beyond(row, name, cursor, self)]
        body = b",".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in page[:100])
        wrap = (b'{"operations":[', b"]}") if self.wrapped else (b"[", b"]")
        return Response(wrap[0] + body + wrap[1], media_type="application/json")


def _fields(row: Any) -> dict[str, Any]:
    return row if isinstance(row, dict) else json.loads(row.decode("utf-8", "replace"))


def _day(row: Any) -> str:
    return str(_fields(row).get("operation_created_at"))[:10]


def _order(row: Any, name: str) -> int:
    value = _fields(row).get(name)
    return int(value) if str(value).isdigit() else 0


def _is_beyond(row: Any, name: str, cursor: int, vima: TinyVima) -> bool:
    order = _order(row, name)
    return order == 0 or (order >= cursor if vima.inclusive else order > cursor)


@pytest.fixture
def vima() -> Iterator[TinyVima]:
    """250 operations of one day."""
    tiny = TinyVima(rows=[operation(number) for number in range(250)])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    tiny.url = f"http://127.0.0.1:{listener.getsockname()[1]}/collector1/api/v1"

    async def answer(request: Request) -> Response:
        return tiny.answer(request)

    app = Starlette(routes=[Route("/collector1/api/v1/operation", answer)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield tiny
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.fixture
def vima_settings(vima: TinyVima, make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings that lead to the tiny Vima and the fresh warehouse; keyword arguments are further variables."""

    def make(**changes: str) -> Settings:
        known = {"VIMA_BASE_URL": vima.url, "VIMA_API_KEY": KEY, "VIMA_PAGE_PAUSE_SECONDS": "0"}
        return make_settings(**(known | {"PSP_NOW": NOW.isoformat()} | changes))

    return make


@pytest.fixture
def db(warehouse: str) -> Iterator[psycopg.Connection]:
    """A look into the warehouse from outside, always at what is committed."""
    with connect(warehouse, autocommit=True) as connection:
        yield connection


def versions(db: psycopg.Connection, table: str = "vima_operations") -> int:
    """Rows of a raw table."""
    row = db.execute(f"select count(*) from raw.{table}").fetchone()  # type: ignore[call-overload]  # noqa: S608
    assert row is not None
    return int(row[0])


def value(db: psycopg.Connection, statement: str, *parameters: Any) -> Any:
    """The one value of a statement; None where there is no row."""
    row = db.execute(statement, parameters).fetchone()  # type: ignore[call-overload]
    return None if row is None else row[0]
