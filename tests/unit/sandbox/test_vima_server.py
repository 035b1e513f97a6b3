"""The sandbox Vima on the wire: key, cursor, days, wrapping, and no to what cannot be read."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from pipelines.core.clock import fixed_clock
from pipelines.sandbox.books import VimaBooks
from pipelines.sandbox.vima_server import create_app
from pipelines.sandbox.world import World

ANCHOR = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
STATE = {"vima": {"base_url": "http://127.0.0.1:1/collector/api/v3", "api_key": "invented-key-551"}}
PATH = "/collector/api/v3/operation"
KEY = {"apikey": "invented-key-551"}


@pytest.fixture(scope="module")
def books() -> VimaBooks:
    return VimaBooks(World(seed=7, orders=500, anchor=ANCHOR))


class Client:
    """Asks an application over ASGI, without a port."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
                return await client.get(path, **arguments)

        return asyncio.run(ask())


@pytest.fixture
def client(books: VimaBooks) -> Client:
    return Client(create_app(books, STATE, clock=fixed_clock(ANCHOR)))


def test_the_key_travels_in_the_query_or_as_basic(client: Client) -> None:
    basic = base64.b64encode(b"any:invented-key-551").decode()
    assert client.get(PATH, params=KEY).status_code == 200
    assert client.get(PATH, headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert client.get(PATH).status_code == 401
    assert client.get(PATH, params={"apikey": "wrong"}).status_code == 401
    assert client.get(PATH, headers={"Authorization": "Basic ???"}).status_code == 401


def test_a_larger_count_is_cut_to_a_hundred(client: Client) -> None:
    assert len(client.get(PATH, params={**KEY, "count": 5000, "from_operation_update_id": 0}).json()) == 100


def test_the_cursor_row_is_shown_again_only_by_an_inclusive_server(books: VimaBooks) -> None:
    for inclusive in (False, True):
        app = create_app(books, STATE, clock=fixed_clock(ANCHOR), inclusive=inclusive)
        client = Client(app)
        first = client.get(PATH, params={**KEY, "from_operation_update_id": 0, "count": 3}).json()
        cursor = first[-1]["operation_update_id"]
        following = client.get(PATH, params={**KEY, "from_operation_update_id": cursor, "count": 3}).json()
        assert (following[0]["operation_update_id"] == cursor) is inclusive


def test_a_deployment_may_wrap_the_array(books: VimaBooks) -> None:
    client = Client(create_app(books, STATE, clock=fixed_clock(ANCHOR), wrapped=True))
    assert len(client.get(PATH, params={**KEY, "count": 2}).json()["operations"]) == 2


def test_filters_hold(client: Client) -> None:
    rows = client.get(PATH, params={**KEY, "project": "monetix", "status": "success"}).json()
    assert {(row["project"], row["current_status"]) for row in rows} == {("monetix", "success")}
    days = client.get(PATH, params={**KEY, "from": "2026-01-10", "to": "2026-01-11"}).json()
    assert {row["operation_created_at"][:10] for row in days} <= {"2026-01-10", "2026-01-11"}


@pytest.mark.parametrize(
    "wrong", [{"date": "yesterday"}, {"count": "many"}, {"from_operation_update_id": "9" * 30}, {"from": "2026-02-30"}]
)
def test_what_cannot_be_read_is_refused(client: Client, wrong: dict[str, str]) -> None:
    answer = client.get(PATH, params={**KEY, **wrong})
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]
