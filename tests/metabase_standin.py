"""A strict stand-in for Metabase 0.63, over a real socket: no server of its kind can be started in these tests.

It judges every request (tests/metabase_contract.py) and keeps state as Metabase does: numeric ids, entity ids of its
own, archived things, a schema sync that takes a while and reads the real database through the connection's own
login, dashboards whose PUT replaces tabs and dashcards as a whole, subscriptions that lose their files with a
deleted dashcard, permission graphs that refuse a stale revision. A card's rows are really asked of PostgreSQL.
"""

import csv
import io
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.dashboards.entities import Card, Field, Tag
from pipelines.dashboards.templates import render
from tests.metabase_contract import complaints
from tests.sandbox import free_port

SYNC_SECONDS = 0.4
ALL_USERS, ADMINISTRATORS = 1, 2
Json = dict[str, Any]


class Refusal(Exception):
    """An answer of Metabase that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class StandIn:
    """The state. `requests` are all that came, as (method, path)."""

    url: str = ""
    today: Any = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    setup_token: str | None = field(default_factory=lambda: secrets.token_hex(8))
    users: dict[int, Json] = field(default_factory=dict)
    passwords: dict[str, tuple[str, int]] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    keys: dict[int, Json] = field(default_factory=dict)
    databases: dict[int, Json] = field(default_factory=dict)
    fields: dict[tuple[int, str, str, str], int] = field(default_factory=dict)
    collections: dict[int, Json] = field(default_factory=dict)
    cards: dict[int, Json] = field(default_factory=dict)
    dashboards: dict[int, Json] = field(default_factory=dict)
    pulses: dict[int, Json] = field(default_factory=dict)
    settings: Json = field(default_factory=lambda: {"email-smtp-port": None, "start-of-week": "sunday"})
    cache: list[Json] = field(default_factory=list)
    groups: dict[int, str] = field(default_factory=lambda: {ALL_USERS: "All Users", ADMINISTRATORS: "Administrators"})
    collection_graph: Json = field(
        default_factory=lambda: {"revision": 7, "groups": {"1": {"root": "write"}, "2": {"root": "write"}}}
    )
    data_graph: Json = field(default_factory=lambda: {"revision": 3, "groups": {"1": {}, "2": {}}})
    _ids: int = 100

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    # -- sign-in

    def setup(self, body: Json) -> Json:
        if self.setup_token is None or body["token"] != self.setup_token:
            raise Refusal(403, "The /api/setup route can only be used to create the first user")
        self.setup_token = None
        number = self.new_user(body["user"]["email"], body["user"]["password"], administrator=True)
        session = secrets.token_hex(16)
        self.sessions[session] = number
        return {"id": session}

    def new_user(self, email: str, password: str | None = None, *, administrator: bool = False) -> int:
        number = self.next_id()
        self.users[number] = {"id": number, "email": email, "is_superuser": administrator}
        if password is not None:
            self.passwords[email] = (password, number)
        return number

    def login(self, body: Json) -> Json:
        password, number = self.passwords.get(body["username"], ("", 0))
        if not password or password != body["password"]:
            raise Refusal(401, "did not match stored password")
        session = secrets.token_hex(16)
        self.sessions[session] = number
        return {"id": session}

    def who(self, request: Request) -> int:
        key = request.headers.get("x-api-key")
        for found in self.keys.values():
            if key and found["secret"] == key:
                return int(found["user"])
        number = self.sessions.get(request.headers.get("x-metabase-session", ""))
        if number is None:
            raise Refusal(401, "Unauthenticated")
        return number

    def new_key(self, body: Json) -> Json:
        if any(found["name"] == body["name"] for found in self.keys.values()):
            raise Refusal(400, "An API key with this name already exists.")
        number, secret = self.next_id(), f"mb_{secrets.token_urlsafe(24)}"
        user = self.new_user(f"api-key-{number}@api-key.invalid", administrator=body["group_id"] == ADMINISTRATORS)
        self.keys[number] = {"id": number, "name": body["name"], "secret": secret, "user": user}
        return {"id": number, "name": body["name"], "unmasked_key": secret}

    def renew_key(self, number: int) -> Json:
        self.keys[number]["secret"] = f"mb_{secrets.token_urlsafe(24)}"
        return {"id": number, "name": self.keys[number]["name"], "unmasked_key": self.keys[number]["secret"]}

    # -- databases

    def new_database(self, body: Json) -> Json:
        self._connect(body["details"]).close()
        number = self.next_id()
        self.databases[number] = {**body, "id": number, "synced_at": time.monotonic() + SYNC_SECONDS}
        for group in self.data_graph["groups"].values():
            group[str(number)] = {"view-data": "unrestricted", "create-queries": "query-builder-and-native"}
        return {"id": number}

    def change_database(self, number: int, body: Json) -> Json:
        kept = self.databases[number]
        details = {**kept["details"], **(body.get("details") or {})}
        self._connect(details).close()
        kept |= {**body, "details": details}
        return {"id": number}

    @staticmethod
    def _connect(details: Json) -> "psycopg.Connection[Any]":
        try:
            return psycopg.connect(
                host=details["host"],
                port=details["port"],
                dbname=details["dbname"],
                user=details["user"],
                password=details["password"],
                connect_timeout=10,
            )
        except psycopg.OperationalError as error:
            raise Refusal(400, f"could not connect: {error}") from None

    def metadata(self, number: int) -> Json:
        database = self.databases[number]
        if time.monotonic() < database["synced_at"] or "synced" not in database:
            if time.monotonic() >= database["synced_at"]:
                self._sync(number)
            else:
                return {"id": number, "tables": []}
        tables: dict[tuple[str, str], list[Json]] = {}
        for schema, table, column in self.databases[number]["synced"]:
            key = (number, schema, table, column)
            found = self.fields.setdefault(key, self.next_id())
            tables.setdefault((schema, table), []).append({"id": found, "name": column, "active": True})
        listed = [{"schema": schema, "name": name, "fields": columns} for (schema, name), columns in tables.items()]
        return {"id": number, "tables": listed}

    def _sync(self, number: int) -> None:
        database = self.databases[number]
        with self._connect(database["details"]) as connection:
            database["synced"] = connection.execute(
                "select table_schema, table_name, column_name from information_schema.columns"
                " where table_schema = 'marts'"
            ).fetchall()

    def ask_sync(self, number: int) -> Json:
        self.databases[number].pop("synced", None)
        self.databases[number]["synced_at"] = time.monotonic() + SYNC_SECONDS
        return {"status": "ok"}

    # -- content

    def new_collection(self, body: Json) -> Json:
        number = self.next_id()
        parent = body.get("parent_id")
        above = "/" if parent is None else f"{self.collections[parent]['location']}{parent}/"
        for rules in self.collection_graph["groups"].values():
            rules[str(number)] = rules.get("root" if parent is None else str(parent), "none")
        self.collections[number] = {
            "id": number,
            "name": body["name"],
            "description": body.get("description"),
            "location": above,
            "archived": False,
            "entity_id": secrets.token_urlsafe(16)[:21],
        }
        return self.collections[number]

    def change_collection(self, number: int, body: Json) -> Json:
        found = self.collections[number]
        for key in ("name", "description", "archived"):
            if key in body:
                found[key] = body[key]
        if "parent_id" in body:
            parent = body["parent_id"]
            found["location"] = "/" if parent is None else f"{self.collections[parent]['location']}{parent}/"
        return found

    def items(self, number: int) -> Json:
        held = [
            item
            for kept in (self.cards, self.dashboards)
            for item in kept.values()
            if item.get("collection_id") == number and not item["archived"]
        ]
        below = [
            item for item in self.collections.values() if f"/{number}/" in item["location"] and not item["archived"]
        ]
        return {"data": [{"id": item["id"], "name": item["name"]} for item in [*held, *below]]}

    def new_card(self, body: Json, user: int) -> Json:
        self._judge_card(body)
        number = self.next_id()
        plain = {key: body.get(key) for key in ("name", "description", "display", "type", "collection_id")}
        self.cards[number] = {
            **plain,
            "id": number,
            "entity_id": secrets.token_urlsafe(16)[:21],
            "creator_id": user,
            "archived": False,
            "dataset_query": _rewritten(body["dataset_query"]),
            "parameters": body.get("parameters") or [],
            "visualization_settings": body["visualization_settings"],
        }
        return self.cards[number]

    def change_card(self, number: int, body: Json) -> Json:
        self._judge_card(body)
        found = self.cards[number]
        found |= {key: value for key, value in body.items() if key != "dataset_query"}
        if "dataset_query" in body:
            found["dataset_query"] = _rewritten(body["dataset_query"])
        return found

    def _judge_card(self, body: Json) -> None:
        if body.get("collection_id") is not None and body["collection_id"] not in self.collections:
            raise Refusal(404, "no such collection")
        query = body.get("dataset_query")
        if query is None:
            return
        if query["database"] not in self.databases:
            raise Refusal(404, "no such database")
        ids = set(self.fields.values())
        for tag in query["stages"][0]["template-tags"].values():
            if tag["type"] == "dimension" and tag["dimension"][2] not in ids:
                raise Refusal(400, f"the field {tag['dimension'][2]} does not exist")

    def new_dashboard(self, body: Json, user: int) -> Json:
        number = self.next_id()
        self.dashboards[number] = {
            "id": number,
            "entity_id": secrets.token_urlsafe(16)[:21],
            "name": body["name"],
            "description": body.get("description"),
            "collection_id": body.get("collection_id"),
            "collection_position": body.get("collection_position"),
            "parameters": body.get("parameters") or [],
            "creator_id": user,
            "archived": False,
            "width": "fixed",
            "auto_apply_filters": True,
            "tabs": [],
            "dashcards": [],
        }
        return self.dashboards[number]

    def change_dashboard(self, number: int, body: Json) -> Json:
        found = self.dashboards[number]
        if "dashcards" in body:
            self._lay_out(found, body)
        found |= {key: value for key, value in body.items() if key not in ("tabs", "dashcards")}
        return found

    def _lay_out(self, found: Json, body: Json) -> None:
        """Tabs and dashcards as a whole: what is left out is deleted."""
        wanted, tabs = body["dashcards"], body.get("tabs") or []
        if len({item["id"] for item in wanted}) != len(wanted):
            raise Refusal(400, "ids are not unique")
        there = {tab["id"] for tab in found["tabs"]}
        numbers = {tab["id"]: tab["id"] if tab["id"] in there else self.next_id() for tab in tabs}
        kept = {item["id"] for item in found["dashcards"]}
        cards = []
        for item in wanted:
            if len(tabs) > 1 and item.get("dashboard_tab_id") is None:
                raise Refusal(400, "This dashboard has tab, makes sure every card has a tab")
            if item.get("dashboard_tab_id") is not None and item["dashboard_tab_id"] not in numbers:
                raise Refusal(400, "no such tab")
            if item.get("card_id") is not None and item["card_id"] not in self.cards:
                raise Refusal(404, "no such card")
            card = {
                **item,
                "id": item["id"] if item["id"] in kept else self.next_id(),
                "dashboard_tab_id": numbers.get(item.get("dashboard_tab_id")),
                "entity_id": secrets.token_urlsafe(16)[:21],
            }
            card.setdefault("series", [])
            cards.append(card)
        gone = kept - {item["id"] for item in cards}
        for pulse in self.pulses.values():
            pulse["cards"] = [card for card in pulse["cards"] if card["dashboard_card_id"] not in gone]
        removed = {item["id"] for item in found["parameters"]} - {item["id"] for item in body.get("parameters") or ()}
        for pulse in self.pulses.values():
            if pulse["dashboard_id"] == found["id"] and removed & {
                item["id"] for item in pulse.get("parameters") or ()
            }:
                pulse["archived"] = True
        found["tabs"] = [{"id": numbers[tab["id"]], "name": tab["name"], "position": at} for at, tab in enumerate(tabs)]
        # A server lists them in no order that means anything.
        found["dashcards"] = cards[::-1]

    # -- subscriptions

    def new_pulse(self, body: Json, user: int) -> Json:
        self._judge_pulse(body)
        number = self.next_id()
        self.pulses[number] = {
            "id": number,
            "creator_id": user,
            "archived": False,
            "parameters": [],
            **body,
            "channels": _stored(body["channels"]),
        }
        return self.pulses[number]

    def change_pulse(self, number: int, body: Json) -> Json:
        found = self.pulses[number]
        self._judge_pulse({"dashboard_id": found["dashboard_id"], **body})
        # Keys with a server default go back to it when they are left out.
        found |= {"archived": False, "skip_if_empty": False, **body}
        if "channels" in body:
            found["channels"] = _stored(body["channels"])
        return found

    def _judge_pulse(self, body: Json) -> None:
        board = self.dashboards.get(body["dashboard_id"])
        if board is None:
            raise Refusal(404, "no such dashboard")
        there = {item["id"]: item["card_id"] for item in board["dashcards"]}
        for card in body.get("cards") or ():
            if there.get(card["dashboard_card_id"]) != card["id"]:
                raise Refusal(400, "the card is not on the dashboard")
        for channel in body.get("channels") or ():
            kind = channel["schedule_type"]
            if kind != "hourly" and channel.get("schedule_hour") is None:
                raise Refusal(400, "schedule_hour is missing")
            if (kind == "weekly") != (channel.get("schedule_day") is not None and kind != "monthly"):
                raise Refusal(400, "schedule_day does not fit")

    # -- permissions

    def settle(self, graph: Json, body: Json, *, force: bool) -> Json:
        if body.get("revision") != graph["revision"] and not force:
            raise Refusal(409, "Looks like someone else edited the permissions and your data is out of date.")
        for group, rules in body["groups"].items():
            if int(group) not in self.groups:
                raise Refusal(404, f"there is no group {group}")
            graph["groups"].setdefault(group, {}).update(rules)
        graph["revision"] += 1
        return graph

    def new_group(self, body: Json) -> Json:
        number = self.next_id()
        self.groups[number] = body["name"]
        self.collection_graph["groups"][str(number)] = {"root": "none"}
        self.data_graph["groups"][str(number)] = {
            str(base): {"view-data": "unrestricted", "create-queries": "no"} for base in self.databases
        }
        return {"id": number, "name": body["name"]}

    # -- rows

    def rows(self, number: int, kind: str, body: Json) -> Response:
        """A card's rows, asked through the connection's own login."""
        card = self.cards[number]
        query = card["dataset_query"]
        stage = query["stages"][0]
        names = {number: key for key, number in self.fields.items()}
        tags = {}
        for name, tag in stage["template-tags"].items():
            found = None
            if tag["type"] == "dimension":
                _, schema, table, column = names[next(part for part in tag["dimension"] if isinstance(part, int))]
                found = Field(database="", schema=schema, table=table, column=column)
            tags[name] = Tag(
                name=name,
                id=tag["id"],
                type=tag["type"],
                display_name=name,
                widget_type=tag.get("widget-type"),
                field=found,
            )
        asked = Card(
            path=None,  # type: ignore[arg-type] - it comes from no file
            entity_id="",
            name=card["name"],
            description="",
            display=card["display"],
            collection_id=None,
            database="",
            sql=stage["native"],
            tags=tags,
            settings={},
        )
        values = {item["target"][1][1]: item["value"] for item in body.get("parameters") or ()}
        statement = render(asked, values, self.today)
        with self._connect(self.databases[query["database"]]["details"]) as connection:
            cursor = connection.execute(statement.text.encode(), statement.parameters)
            columns = [column.name for column in cursor.description or ()]
            found_rows = cursor.fetchall()
        if kind == "csv":
            text = io.StringIO()
            csv.writer(text).writerows([columns, *found_rows])
            return PlainTextResponse(text.getvalue(), media_type="text/csv")
        return JSONResponse(
            json.loads(json.dumps([dict(zip(columns, row, strict=True)) for row in found_rows], default=str))
        )


def _rewritten(query: Json) -> Json:
    """A query as the server keeps it: with marks of its own."""
    copy: Json = json.loads(json.dumps(query))
    for stage in copy["stages"]:
        for tag in stage["template-tags"].values():
            if "dimension" in tag:
                tag["dimension"][1] = {"lib/uuid": secrets.token_hex(16)}
    return copy


def _stored(channels: list[Json]) -> list[Json]:
    return [{**item, "id": 1, "pulse_id": 1, "created_at": "2026-01-01T00:00:00Z"} for item in channels]


def _application(state: StandIn) -> Starlette:
    async def answer(request: Request) -> Response:
        path, method = request.url.path, request.method
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        state.requests.append((method, path))
        wrong = [] if path == "/api/health" else complaints(method, path, body)
        if wrong:
            state.bad.append(f"{method} {path}: {wrong[0]}")
            return JSONResponse({"errors": wrong[:3]}, 400)
        try:
            found = _route(state, request, method, path.removeprefix("/api/").split("/"), body or {})
        except Refusal as refusal:
            return JSONResponse({"message": refusal.message}, refusal.status)
        return found if isinstance(found, Response) else JSONResponse(json.loads(json.dumps(found)))

    methods = ["GET", "POST", "PUT"]
    return Starlette(routes=[Route("/{path:path}", answer, methods=methods)])


def _route(state: StandIn, request: Request, method: str, parts: list[str], body: Json) -> Any:
    if parts == ["health"]:
        return {"status": "ok"}
    if parts == ["session", "properties"]:
        return {"setup-token": state.setup_token, "has-user-setup": bool(state.users)}
    if parts == ["setup"]:
        return state.setup(body)
    if parts == ["session"]:
        return state.login(body)
    user = state.who(request)
    if parts == ["user", "current"]:
        return state.users[user]
    if not state.users[user]["is_superuser"]:
        raise Refusal(403, "You don't have permissions to do that.")
    query, number = request.query_params, int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
    kept: dict[str, dict[int, Json]] = {
        "card": state.cards,
        "dashboard": state.dashboards,
        "collection": state.collections,
    }
    kept |= {"pulse": state.pulses, "database": state.databases}
    if number and parts[0] in kept and number not in kept[parts[0]]:
        raise Refusal(404, "Not found.")
    match method, parts:
        case "GET", ["api-key"]:
            return [{"id": key["id"], "name": key["name"]} for key in state.keys.values()]
        case "POST", ["api-key"]:
            return state.new_key(body)
        case "PUT", ["api-key", one, "regenerate"]:
            return state.renew_key(int(one))
        case "GET", ["permissions", "group"]:
            return [{"id": key, "name": name} for key, name in state.groups.items()]
        case "POST", ["permissions", "group"]:
            return state.new_group(body)
        case "GET", ["permissions", "graph"]:
            return state.data_graph
        case "PUT", ["permissions", "graph"]:
            return state.settle(state.data_graph, body, force=query.get("force") == "true")
        case "GET", ["collection", "graph"]:
            return state.collection_graph
        case "PUT", ["collection", "graph"]:
            return state.settle(state.collection_graph, body, force=query.get("force") == "true")
        case "GET", ["database"]:
            hidden = {"password": "**MetabasePass**"}
            listed = [
                {"id": item["id"], "name": item["name"], "details": {**item["details"], **hidden}}
                for item in state.databases.values()
            ]
            return {"data": listed, "total": len(listed)}
        case "POST", ["database"]:
            return state.new_database(body)
        case "PUT", ["database", _]:
            return state.change_database(number, body)
        case "GET", ["database", _, "metadata"]:
            return state.metadata(number)
        case "POST", ["database", _, "sync_schema"]:
            return state.ask_sync(number)
        case "GET", ["collection"]:
            return [item for item in state.collections.values() if not item["archived"]]
        case "POST", ["collection"]:
            return state.new_collection(body)
        case "PUT", ["collection", _]:
            return state.change_collection(number, body)
        case "GET", ["collection", _, "items"]:
            return state.items(number)
        case "GET", ["card"] | ["dashboard"]:
            archived = query.get("f") == "archived"
            listed = [item for item in kept[parts[0]].values() if item["archived"] == archived]
            return [{key: value for key, value in item.items() if key not in ("tabs", "dashcards")} for item in listed]
        case "GET", ["card" | "dashboard" | "pulse", _]:
            return kept[parts[0]][number]
        case "POST", ["card"]:
            return state.new_card(body, user)
        case "PUT", ["card", _]:
            return state.change_card(number, body)
        case "POST", ["card", _, "query", kind]:
            return state.rows(number, kind, body)
        case "POST", ["dashboard"]:
            return state.new_dashboard(body, user)
        case "PUT", ["dashboard", _]:
            return state.change_dashboard(number, body)
        case "GET", ["pulse"]:
            return [item for item in state.pulses.values() if str(item["dashboard_id"]) == query.get("dashboard_id")]
        case "POST", ["pulse"]:
            return state.new_pulse(body, user)
        case "PUT", ["pulse", _]:
            return state.change_pulse(number, body)
        case "GET", ["setting", "email-configured?"]:
            return bool(state.settings.get("email-smtp-host"))
        case "GET", ["setting", key]:
            return state.settings.get(key)
        case "PUT", ["setting", key]:
            state.settings[key] = body["value"]
            return Response(status_code=204)
        case "PUT", ["email"]:
            state.settings |= {key: value for key, value in body.items() if key != "email-smtp-password"}
            return {"ok": True}
        case "GET", ["cache"]:
            return {"data": state.cache}
        case "PUT", ["cache"]:
            if body["model"] != "root":
                raise Refusal(402, "granular cache controls are a paid feature")
            state.cache = [{"model": "root", "model_id": 0, "strategy": body["strategy"]}]
            return {"id": 1}
    raise Refusal(404, "API endpoint does not exist.")


@contextmanager
def metabase_standin(today: Any) -> Iterator[StandIn]:
    """A running one."""
    state = StandIn(today=today)
    port = free_port()
    state.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(_application(state), host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield state
    finally:
        server.should_exit = True
        thread.join(timeout=30)
