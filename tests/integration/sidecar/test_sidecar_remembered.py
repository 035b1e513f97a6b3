"""A repeated question costs the database nothing until the marts change, and no answer outlives a change."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.integration.sidecar.conftest import eventually

QUESTIONS = [
    "/transactions?status=failed&limit=7",
    "/transactions/payshack:payin:T00013",
    "/metrics/overview?from_date=2026-01-17&to_date=2026-01-19",
    "/metrics/by-project?from_date=2026-01-17&to_date=2026-01-19",
    "/metrics/trends?from_date=2026-01-17&to_date=2026-01-19",
    "/reconciliation/summary?date=2026-01-18",
    "/reconciliation/discrepancies?limit=7",
]

RENAME = "update marts.fct_transactions set merchant = %s where transaction_id = 'payshack:payin:T00013'"


def statements(database: psycopg.Connection) -> Any:
    """When each connection of the sidecars over this database last asked something."""
    return database.execute(
        "select pid, query_start from pg_stat_activity"
        " where application_name = 'psp-sidecar' and datname = current_database() order by pid"
    ).fetchall()


def change(database: psycopg.Connection, merchant: str) -> None:
    """A change of the marts as a model makes it: rows, and the line that announces them."""
    with database.transaction():
        database.execute(RENAME, (merchant,))
        database.execute(
            "update intermediate.model_state set processed_xid = processed_xid where model = 'fct_transactions'"
        )


@pytest.fixture(scope="module")
def own_sidecar(start_sidecar: Callable[..., Any], marts: str) -> Iterator[Any]:
    """A sidecar that nobody else asks, and that lets another page in."""
    with start_sidecar(marts, PSP_CORS_ORIGINS="https://app.example, http://localhost:5173") as running:
        yield running


@pytest.fixture
def quiet(own_sidecar: Any) -> Iterator[httpx.Client]:
    """Without scope pii, whose looks are written down each time."""
    with own_sidecar.client("plain") as client:
        yield client


def test_a_repeated_question_asks_the_database_nothing(quiet: httpx.Client, database: psycopg.Connection) -> None:
    first = {path: quiet.get(path) for path in QUESTIONS}
    assert {response.status_code for response in first.values()} == {200}
    before = statements(database)
    assert before

    for path, response in first.items():
        again = quiet.get(path)
        assert (again.status_code, again.content) == (200, response.content), path
        tag = response.headers["etag"]
        unchanged = quiet.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag), path
        assert quiet.get(path, headers={"If-None-Match": '"other"'}).status_code == 200, path
        assert response.headers["cache-control"] == "private, no-cache", path

    assert statements(database) == before


def test_a_change_is_seen_once_it_is_announced(quiet: httpx.Client, database: psycopg.Connection) -> None:
    def seen() -> httpx.Response:
        return quiet.get("/transactions", params={"search": "payshack:payin:T00013"})

    before = seen()
    (row,) = before.json()["data"]
    try:
        change(database, "Renamed")
        eventually(lambda: seen().json()["data"][0]["merchant"] == "Renamed")
        assert seen().headers["etag"] != before.headers["etag"]
    finally:
        change(database, row["merchant"])
    eventually(lambda: seen().content == before.content)
    assert seen().headers["etag"] == before.headers["etag"]


def test_what_nobody_announced_is_noticed_too(quiet: httpx.Client, database: psycopg.Connection) -> None:
    def merchant() -> Any:
        return quiet.get("/transactions/payshack:payin:T00013").json()["data"]["merchant"]

    known = merchant()
    try:
        database.execute(RENAME, ("Silent",))
        database.execute("select pg_stat_force_next_flush()")
        eventually(lambda: merchant() == "Silent", seconds=30)
    finally:
        database.execute(RENAME, (known,))
        database.execute("notify psp_marts")


def test_nothing_is_kept_while_nobody_listens(quiet: httpx.Client, database: psycopg.Connection) -> None:
    path = QUESTIONS[0]
    assert quiet.get(path).content == quiet.get(path).content
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'psp-sidecar-listen' and datname = current_database()"
    )
    before = statements(database)
    # Asked anew, either because nobody listens or because everything was forgotten when listening began again.
    eventually(lambda: quiet.get(path).status_code == 200 and statements(database) != before)


def test_the_same_question_at_the_same_time_is_asked_once(quiet: httpx.Client, database: psycopg.Connection) -> None:
    path = "/transactions?sort_by=amount&limit=100"
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: quiet.get(path), range(64)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1


def test_an_answer_grows_stale_by_the_clock_alone(
    quiet: httpx.Client, start_sidecar: Callable[..., Any], marts: str
) -> None:
    with start_sidecar(marts, PSP_NOW="2026-01-20T13:00:00Z") as late, late.client() as client:
        answers = [quiet.get(QUESTIONS[5]), client.get(QUESTIONS[5])]
    assert [answer.json()["meta"]["stale"] for answer in answers] == [False, True]
    assert answers[0].json()["data"] == answers[1].json()["data"]
    assert answers[0].headers["etag"] != answers[1].headers["etag"]


def test_personal_data_is_kept_nowhere(api: httpx.Client) -> None:
    response = api.get("/transactions/payshack:payin:T00013")
    assert response.json()["data"]["raw_data_masked"] is False
    assert response.headers["cache-control"] == "private, no-store"
    assert "etag" not in response.headers


def test_another_page_may_ask_only_when_its_origin_is_named(quiet: httpx.Client, api: httpx.Client) -> None:
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for origin in ("https://app.example", "http://localhost:5173"):
        allowed = quiet.options("/metrics/overview", headers={"Origin": origin, **preflight})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
        answer = quiet.get("/metrics/overview", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "etag" in answer.headers["access-control-expose-headers"].lower()
    stranger = quiet.get("/metrics/overview", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in stranger.headers
    assert quiet.options("/metrics/overview", headers={"Origin": "https://other.example", **preflight}).is_error
    unset = api.get("/metrics/overview", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in unset.headers
