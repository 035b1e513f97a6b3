"""Who gets in: a good key with the scope, sent as a bearer header, and nobody else."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from pipelines.core.settings import load_settings
from pipelines.sidecar.app import create_app
from pipelines.sidecar.auth import Gate
from pipelines.sidecar.keys import KeyRing, create_key, revoke_key

SAMPLES = {"transaction_id": "vima:1", "export_id": "00000000-0000-0000-0000-000000000000"}
SAMPLES |= {"run_id": SAMPLES["export_id"], "break_id": "b", "action": "comment"}
PATHS = [
    (method.upper(), path.removeprefix("/api/v1").format(**SAMPLES))
    for path, methods in create_app(load_settings({})).openapi()["paths"].items()
    for method in methods
    if path != "/api/v1/health"
]


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_key_nothing_is_told(sidecar: Any, method: str, path: str) -> None:
    response = httpx.request(method, f"{sidecar.url}/api/v1{path}")

    assert code_of(response) == (401, "UNAUTHORIZED")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["Bearer psp_0_0", "Bearer", "Basic dTpw", "Bearer ☠".encode().decode("latin-1"), ""]
)
def test_a_wrong_key_is_refused(sidecar: Any, header: str) -> None:
    response = httpx.get(f"{sidecar.url}/api/v1/transactions", headers=[(b"Authorization", header.encode("latin-1"))])

    assert code_of(response) == (401, "UNAUTHORIZED")


def test_a_key_in_the_url_does_not_count(sidecar: Any) -> None:
    response = httpx.get(f"{sidecar.url}/api/v1/transactions", params={"api_key": sidecar.keys["all"]})

    assert code_of(response) == (401, "UNAUTHORIZED")
    assert sidecar.keys["all"] not in response.text


def test_an_expired_key_is_told_so(sidecar: Any) -> None:
    past = load_settings({"PSP_HOME": str(sidecar.settings.psp_home), "PSP_NOW": "2025-12-01T00:00:00Z"})
    key = create_key(past, name="old", scopes=["read"], days=1)

    response = httpx.get(f"{sidecar.url}/api/v1/transactions", headers={"Authorization": f"Bearer {key}"})

    assert code_of(response) == (401, "UNAUTHORIZED")
    assert "expired" in response.json()["error"]["message"]


def test_a_revoked_key_stops_at_once(sidecar: Any) -> None:
    key = create_key(sidecar.settings, name="short", scopes=["read"])
    with httpx.Client(base_url=sidecar.url, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/api/v1/transactions").status_code == 200

        revoke_key(sidecar.settings, "short")

        assert client.get("/api/v1/transactions").status_code == 401


@pytest.mark.parametrize(
    ("key", "method", "path", "needed"),
    [
        ("export", "GET", "/transactions", "read"),
        ("pii", "GET", "/transactions/vima:1", "read"),
        ("operate", "GET", "/metrics/overview", "read"),
        ("read", "GET", "/export/transactions", "export"),
        ("read", "GET", "/export/00000000-0000-0000-0000-000000000000/cover", "export"),
        ("export", "POST", "/ws/ticket", "read"),
    ],
)
def test_a_key_without_the_scope_is_refused(sidecar: Any, key: str, method: str, path: str, needed: str) -> None:
    with sidecar.client(key) as client:
        response = client.request(method, path)

    assert code_of(response) == (403, "FORBIDDEN")
    assert response.json()["error"]["details"] == {"needed_scope": needed}


def test_health_is_open_and_tells_no_data(sidecar: Any) -> None:
    response = httpx.get(f"{sidecar.url}/api/v1/health")

    assert response.status_code == 200
    assert set(response.json()["data"]) == {"status", "version", "services"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/api/v1/../../etc/passwd", 404, "NOT_FOUND"),
        ("GET", "/api/v1/transactions/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "NOT_FOUND"),
        ("DELETE", "/api/v1/transactions", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/api/v1/health", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_other_paths_and_methods_fail_in_the_same_shape(
    api: httpx.Client, sidecar: Any, method: str, path: str, status: int, code: str
) -> None:
    response = api.request(method, f"{sidecar.url}{path}")

    assert code_of(response) == (status, code)


def test_the_role_of_the_sidecar_cannot_touch_what_it_does_not_need(database: psycopg.Connection) -> None:
    database.execute("set role psp_sidecar")
    for statement in (
        "select 1 from raw.vima_operations",
        "select 1 from ops.payloads",
        "select 1 from ops.reveals",
        "delete from ops.exports",
        "update ops.exports set actor = 'somebody else'",
        "delete from marts.fct_transactions",
        "create table marts.mine (a int)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement)


def test_a_reader_of_the_marts_cannot_forge_the_audit_trail(database: psycopg.Connection) -> None:
    database.execute("set role psp_reader")
    for statement in ("insert into ops.reveals (actor, transaction_id) values ('a', 'b')", "select 1 from ops.exports"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement)


def test_too_many_requests_are_told_when_to_come_back(sidecar: Any) -> None:
    app = create_app(sidecar.settings)

    async def asked_three_times() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {sidecar.keys['all']}"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=sidecar.url, headers=headers) as client,
        ):
            app.state.gate = Gate(KeyRing(sidecar.settings), burst=2, monotonic=lambda: 0.0)
            return [await client.get("/api/v1/transactions/none") for _ in range(3)]

    answers = asyncio.run(asked_three_times())

    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert code_of(answers[-1]) == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answers[-1].headers["Retry-After"]) >= 1
