"""The live feed: what is announced in the database reaches whoever subscribed, and nobody can hold it up."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from pipelines.core.postgres import FRESHNESS_CHANNEL, connect
from pipelines.sidecar.keys import create_key, revoke_key
from pipelines.sidecar.live import EVENTS, QUEUE_LENGTH
from pipelines.sidecar.routes.live import CHECK_SECONDS

PING = {"source": "vima", "flow": "payin", "rows": 7, "watermark": "2026-01-20T12:00:00+00:00", "lag_seconds": 1.5}


@contextmanager
def feed(running: Any, key: str | None = "all", **options: Any) -> Iterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {running.keys[key]}"} if key else {}
    with open_socket(
        f"{running.url.replace('http', 'ws')}/ws/updates", additional_headers=headers, proxy=None, **options
    ) as connection:
        yield connection


def receive(connection: ClientConnection, timeout: float = 5) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(connection.recv(timeout=timeout))
    return found


def say(connection: ClientConnection, **message: Any) -> dict[str, Any]:
    connection.send(json.dumps(message))
    return receive(connection)


def subscribed(connection: ClientConnection, *events: str) -> None:
    assert receive(connection)["type"] == "connected"
    assert say(connection, type="subscribe", events=list(events or EVENTS))["type"] == "subscribed"


def notify(database: psycopg.Connection, payload: Any, channel: str = FRESHNESS_CHANNEL) -> None:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    database.execute("select pg_notify(%s, %s)", (channel, text))


def listeners(database: psycopg.Connection) -> list[int]:
    rows = database.execute(
        "select pid from pg_stat_activity where application_name = 'psp-sidecar-listen'"
        " and datname = current_database() and state = 'idle'"
    ).fetchall()
    return [row[0] for row in rows]


def test_a_client_is_greeted_with_how_fresh_the_marts_are(sidecar: Any) -> None:
    with feed(sidecar) as connection:
        greeting = receive(connection)

        assert greeting["type"] == "connected"
        assert greeting["data"] == {"as_of": "2026-01-20T11:58:30Z", "stale": False, "events": list(EVENTS)}
        assert greeting["timestamp"].endswith("Z")
        assert say(connection, type="ping")["type"] == "pong"


def test_a_freshness_announcement_reaches_a_subscriber(sidecar: Any, database: psycopg.Connection) -> None:
    with feed(sidecar) as connection:
        subscribed(connection, "freshness")
        began = time.monotonic()
        notify(database, PING)

        message = receive(connection)

    assert (message["type"], message["data"]) == ("freshness", PING)
    assert time.monotonic() - began < 1


def test_what_the_platform_announces_after_a_run_arrives(sidecar: Any) -> None:
    from pipelines.loading.freshness import announce_freshness

    with feed(sidecar) as connection:
        subscribed(connection, "freshness")
        sent = announce_freshness(sidecar.settings)
        found = [receive(connection)["data"] for _ in sent]

    assert {(item["source"], item["flow"]) for item in found} == {
        (source, flow) for source in ("vima", "payshack") for flow in ("payin", "payout")
    }


def test_loads_are_told_as_they_begin_and_end(sidecar: Any, database: psycopg.Connection) -> None:
    with feed(sidecar) as connection:
        subscribed(connection)
        row = database.execute(
            "insert into raw.load_runs (source, mode, scope, status, started_at)"
            " values ('vima', 'window', 'test', 'running', now()) returning load_run_id"
        ).fetchone()
        started = receive(connection)
        database.execute(
            "update raw.load_runs set status = 'failed', finished_at = now(), error = %s where load_run_id = %s",
            ("x" * 20_000, row[0] if row else None),
        )
        failed = receive(connection)
        database.execute("delete from raw.load_runs where scope = 'test'")

    assert (started["type"], started["data"]["source"], started["data"]["mode"]) == ("sync_started", "vima", "window")
    assert failed["type"] == "sync_failed"
    assert len(failed["data"]["error"]) == 500


def test_only_what_was_subscribed_comes(sidecar: Any, database: psycopg.Connection) -> None:
    with feed(sidecar) as connection:
        assert receive(connection)["type"] == "connected"
        notify(database, PING)
        subscription = say(connection, type="subscribe", events=["sync_started"])["data"]
        assert subscription == {"events": ["sync_started"], "projects": None}
        notify(database, PING)
        # Announcements come in order: had one come, it would be before the pong.
        time.sleep(0.3)
        assert say(connection, type="ping")["type"] == "pong"


def test_what_a_run_of_the_models_has_changed_is_told_by_project(sidecar: Any, database: psycopg.Connection) -> None:
    row = database.execute(
        "select reconciliation_id, project, flow, currency, exposure::text from marts.fct_reconciliation"
        " where severity = 'critical' and project = '91game' limit 1"
    ).fetchone()
    assert row is not None
    touch = (
        "update marts.fct_reconciliation set changed_xid = pg_current_xact_id()::text::bigint"
        " where reconciliation_id = %s"
    )
    with feed(sidecar) as everyone, feed(sidecar) as other, feed(sidecar) as own:
        for connection, projects in ((everyone, None), (other, ["monetix"]), (own, ["91game", "monetix"])):
            assert receive(connection)["type"] == "connected"
            asked = {"events": ["reconciliation_completed", "alert"], **({"projects": projects} if projects else {})}
            assert say(connection, type="subscribe", **asked)["data"]["projects"] == projects
        # The first announcement may still find what other tests have touched.
        notify(database, PING)
        time.sleep(0.5)
        for connection in (everyone, own, other):
            until_quiet(connection)
        with database.transaction():
            database.execute(touch, (row[0],))
            notify(database, PING)

        for connection in (everyone, own):
            completed, alert = receive(connection), receive(connection)
            assert completed["type"] == "reconciliation_completed"
            assert {name: completed["data"][name] for name in ("project", "flow", "changed", "matched")} == {
                "project": row[1],
                "flow": row[2],
                "changed": 1,
                "matched": 0,
            }
            assert alert["type"] == "alert"
            assert alert["data"] == {
                "project": row[1],
                "flow": row[2],
                "currency": row[3],
                "rule": "critical_break",
                "rows": 1,
                "exposure": row[4],
                "reconciliation_ids": [row[0]],
                "as_of": "2026-01-20T11:58:30Z",
            }
        assert say(other, type="ping")["type"] == "pong"


def until_quiet(connection: ClientConnection) -> None:
    """Read what still comes; a ping's answer is the last of it."""
    connection.send(json.dumps({"type": "ping"}))
    while receive(connection)["type"] != "pong":
        pass


@pytest.mark.parametrize("payload", ["", "not json", "[1]", "7", "null", '{"type": "invented"}', '{"type": []}'])
def test_an_announcement_that_makes_no_sense_is_left_out(
    sidecar: Any, database: psycopg.Connection, payload: str
) -> None:
    with feed(sidecar) as connection:
        subscribed(connection)
        notify(database, payload)
        notify(database, PING)

        assert receive(connection)["data"] == PING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "1",
        '{"type": "fly"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "events": "freshness"}',
        '{"type": "subscribe", "events": ["nothing"]}',
        '{"type": "subscribe", "events": [1]}',
        '{"type": ["ping"]}',
        '{"type": "subscribe", "events": ["alert"], "projects": "91game"}',
        '{"type": "subscribe", "events": ["alert"], "projects": [7]}',
    ],
)
def test_a_message_that_makes_no_sense_is_answered_and_forgiven(sidecar: Any, text: str) -> None:
    with feed(sidecar) as connection:
        receive(connection)
        connection.send(text)

        assert receive(connection)["data"]["code"] == "VALIDATION_ERROR"
        assert say(connection, type="ping")["type"] == "pong"


def test_bytes_and_giant_messages_harm_only_their_sender(sidecar: Any) -> None:
    with feed(sidecar) as good:
        receive(good)
        with feed(sidecar) as bad:
            receive(bad)
            bad.send(b"\x00\xff")
            assert receive(bad)["type"] == "error"
            bad.send("x" * 100_000)
            with pytest.raises(ConnectionClosed):
                receive(bad)
        assert say(good, type="ping")["type"] == "pong"


def refusal(status: InvalidStatus) -> tuple[int, str]:
    return status.response.status_code, json.loads(status.response.body or b"{}")["error"]["code"]


@pytest.mark.parametrize(("key", "expected"), [(None, (401, "UNAUTHORIZED")), ("export", (403, "FORBIDDEN"))])
def test_the_handshake_is_refused_without_a_good_key(sidecar: Any, key: str | None, expected: tuple[int, str]) -> None:
    with pytest.raises(InvalidStatus) as refused, feed(sidecar, key):
        pass

    assert refusal(refused.value) == expected


def test_a_ticket_opens_one_socket(sidecar: Any, api: httpx.Client) -> None:
    data = api.post("/ws/ticket").json()["data"]
    protocols = ["psp.v1", f"ticket.{data['ticket']}"]

    assert data["expires_in"] == 30
    with feed(sidecar, None, subprotocols=protocols) as connection:
        assert connection.subprotocol == "psp.v1"
        assert receive(connection)["type"] == "connected"
    with pytest.raises(InvalidStatus) as refused, feed(sidecar, None, subprotocols=protocols):
        pass
    assert refusal(refused.value) == (401, "UNAUTHORIZED")


def test_a_key_or_ticket_in_the_url_opens_nothing(sidecar: Any, api: httpx.Client) -> None:
    ticket = api.post("/ws/ticket").json()["data"]["ticket"]
    url = f"{sidecar.url.replace('http', 'ws')}/ws/updates"

    for query in (f"ticket={ticket}", f"token={sidecar.keys['all']}"):
        with pytest.raises(InvalidStatus) as refused, open_socket(f"{url}?{query}", proxy=None):
            pass
        assert refusal(refused.value) == (401, "UNAUTHORIZED")


def test_the_feed_comes_back_after_its_connection_was_killed(sidecar: Any, database: psycopg.Connection) -> None:
    with feed(sidecar) as connection:
        subscribed(connection, "freshness")
        (first,) = listeners(database)
        database.execute("select pg_terminate_backend(%s)", (first,))
        deadline = time.monotonic() + 10
        while (found := listeners(database)) in ([], [first]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        notify(database, PING | {"rows": 8})

        while (message := receive(connection))["data"]["rows"] != 8:
            pass

    assert len(found) == 1
    assert message["type"] == "freshness"


def test_what_changed_while_the_feed_was_deaf_is_told_afterwards(sidecar: Any, database: psycopg.Connection) -> None:
    with feed(sidecar) as connection:
        subscribed(connection, "freshness")
        notify(database, PING | {"rows": 1})
        assert receive(connection)["data"]["rows"] == 1
        (pid,) = listeners(database)
        database.execute("select pg_terminate_backend(%s)", (pid,))

        message = receive(connection, timeout=10)

    # The marts say 240 rows; the last that was heard was 1.
    assert (message["type"], message["data"]["source"], message["data"]["rows"]) == ("freshness", "vima", 240)


def test_a_stuck_client_is_dropped_and_harms_none(marts: str, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar(marts) as own, connect(marts, autocommit=True) as database, feed(own) as good:
        subscribed(good, "freshness")
        with stuck_client(own) as stuck:
            slowest = 0.0
            # Enough to fill socket buffers and queue of one that reads nothing, while the other must see each at once.
            for number in range(QUEUE_LENGTH * 15):
                began = time.monotonic()
                notify(database, PING | {"rows": number, "padding": "x" * 7000})
                assert receive(good)["data"]["rows"] == number
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 1
            stuck.settimeout(10)
            received = 0
            while chunk := stuck.recv(1 << 20):
                received += len(chunk)
            # The server ended it: it got a part of what was sent, and then the end.
            assert received < QUEUE_LENGTH * 15 * 7000
        assert say(good, type="ping")["type"] == "pong"


@contextmanager
def stuck_client(running: Any) -> Iterator[socket.socket]:
    """Subscribes by hand, and then reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.settings.psp_sidecar_port))
        connection.sendall(
            (
                "GET /ws/updates HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
                f"Authorization: Bearer {running.keys['all']}\r\n\r\n"
            ).encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 101")
        body = b'{"type": "subscribe", "events": ["freshness"]}'
        # A masked text frame; a mask of zeros leaves the text as it is.
        connection.sendall(bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body)
        time.sleep(0.3)
        yield connection


def test_a_client_whose_key_is_revoked_is_let_go(marts: str, start_sidecar: Callable[..., Any]) -> None:
    with start_sidecar(marts) as own:
        own.keys["short"] = create_key(own.settings, name="short", scopes=["read"])
        with feed(own, "short") as connection:
            receive(connection)
            revoke_key(own.settings, "short")

            with pytest.raises(ConnectionClosed) as closed:
                receive(connection, timeout=2 * CHECK_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
