"""The provisioner, against a strict stand-in for Metabase, or against a real one.

With METABASE_URL, METABASE_ADMIN_EMAIL and METABASE_ADMIN_PASSWORD in the environment the same tests run against
that server; it must be able to reach the test's PostgreSQL on this machine, and is left with the dashboards on it.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.core.errors import DashboardError
from pipelines.core.runtime import read_json
from pipelines.core.settings import Settings, load_settings
from pipelines.dashboards.deploy import Deploy, card_named, load_deploy
from pipelines.dashboards.entities import Content, Dashboard
from pipelines.dashboards.files import load_content
from pipelines.dashboards.provision.apply import Report, provision
from pipelines.dashboards.provision.client import Client
from pipelines.dashboards.provision.work import entity_of
from pipelines.dashboards.warehouse import business_today, reading, run_card
from tests.metabase_contract import complaints
from tests.metabase_standin import StandIn, metabase_standin

REAL = {name: os.environ[name] for name in os.environ if name.startswith("METABASE_")}
CONTENT, DEPLOY = load_content(), load_deploy()
LOGIN = {"METABASE_ADMIN_EMAIL": "admin@example.com", "METABASE_ADMIN_PASSWORD": "correct-Horse-7-battery"}


@dataclass
class Server:
    """One Metabase and the way to it; `standin` is None for a real one."""

    settings: Settings
    standin: StandIn | None

    def apply(self, content: Content = CONTENT, deploy: Deploy = DEPLOY, *, dry: bool = False) -> Report:
        report = provision(self.settings, content, deploy, dry=dry, pause_seconds=0.01)
        if self.standin is not None:
            assert self.standin.bad == []
        return report

    def api(self) -> httpx.Client:
        """As the provisioner."""
        kept = read_json(self.settings.psp_home / "metabase.json") or {}
        return httpx.Client(
            base_url=str(self.settings.metabase_url), headers={"X-API-Key": kept["api_key"]}, timeout=60
        )

    def ours(self, kind: str) -> dict[str, dict[str, Any]]:
        """What carries our mark, by entity id; each once."""
        with self.api() as api:
            listed = [item for item in api.get(f"/api/{kind}").json() if entity_of(item.get("description"))]
        found = {str(entity_of(item["description"])): item for item in listed}
        assert len(found) == len(listed)
        return found

    def dashboard(self, slug: str) -> dict[str, Any]:
        """A whole dashboard."""
        number = self.ours("dashboard")[CONTENT.dashboard(slug).entity_id]["id"]
        with self.api() as api:
            found: dict[str, Any] = api.get(f"/api/dashboard/{number}").json()
        return found


@pytest.fixture
def server(loaded_settings: Settings, tmp_path: Path) -> Iterator[Server]:
    url = loaded_settings.psp_database_url
    assert url is not None
    assert loaded_settings.psp_now is not None
    plain = {
        "PSP_DATABASE_URL": url.get_secret_value(),
        "PSP_HOME": str(tmp_path),
        "PSP_NOW": loaded_settings.psp_now.isoformat(),
        "METABASE_FINANCE_RECIPIENTS": "finance@example.com, books@example.com",
    }
    if "METABASE_URL" in REAL:
        yield Server(load_settings({**plain, **REAL}), None)
        return
    with metabase_standin(business_today(loaded_settings)) as standin:
        mail = {"METABASE_SMTP_HOST": "mail.example.com", "METABASE_SMTP_PASSWORD": "secret"}
        yield Server(load_settings({**plain, **LOGIN, **mail, "METABASE_URL": standin.url}), standin)


def changed_card(slug: str, **changes: Any) -> Content:
    """The content with one card changed."""
    card = card_named(CONTENT, slug)
    return replace(CONTENT, cards={**CONTENT.cards, card.entity_id: replace(card, **changes)})


def without(slug: str) -> Content:
    """The content without a dashboard and without the cards that lie nowhere else."""
    board = CONTENT.dashboard(slug)
    boards = {key: item for key, item in CONTENT.dashboards.items() if key != board.entity_id}
    used = {place.card_id for item in boards.values() for place in item.dashcards}
    links = {key: _unlinked(item, board.entity_id) for key, item in boards.items()}
    return replace(CONTENT, dashboards=links, cards={key: card for key, card in CONTENT.cards.items() if key in used})


def _unlinked(board: Dashboard, gone: str) -> Dashboard:
    places = [replace(place, settings={}) if gone in str(place.settings) else place for place in board.dashcards]
    return replace(board, dashcards=tuple(places))


def test_a_first_apply_makes_everything_and_a_second_writes_nothing(server: Server) -> None:
    first = server.apply()
    assert {item.action for item in first.changes} >= {"create"}
    assert set(server.ours("card")) == set(CONTENT.cards)
    assert set(server.ours("dashboard")) == set(CONTENT.dashboards)
    assert set(server.ours("collection")) == set(CONTENT.collections)
    second = server.apply()
    assert second.writes == ()
    assert second.changes == ()
    assert server.apply(dry=True).changes == ()
    assert set(first.addresses) == {board.name for board in CONTENT.dashboards.values()}


def test_dashboards_hold_their_cards_filters_and_links(server: Server) -> None:
    server.apply()
    numbers = {item["id"] for item in server.ours("dashboard").values()}
    linked = 0
    for board in CONTENT.dashboards.values():
        found = server.dashboard(board.slug)
        assert len(found["dashcards"]) == len(board.dashcards)
        parameters = {item["id"]: item for item in found["parameters"]}
        assert set(parameters) == {item.id for item in board.parameters}
        for item in found["dashcards"]:
            for mapping in item["parameter_mappings"]:
                assert mapping["parameter_id"] in parameters
                assert mapping["card_id"] == item["card_id"]
            settings = item["visualization_settings"]
            columns = (settings.get("column_settings") or {}).values()
            for click in [settings.get("click_behavior"), *(column.get("click_behavior") for column in columns)]:
                if click:
                    assert click["targetId"] in numbers
                    linked += 1
    assert linked > 10


def test_cards_answer_with_the_rows_of_the_marts(server: Server) -> None:
    server.apply()
    cards = server.ours("card")
    asked: Sequence[tuple[str, dict[str, list[str]]]] = (
        ("close_by_currency", {"period": ["past7days~"]}),
        ("payments_created", {"source": ["vima", "payshack"], "project": ["91game"]}),
        ("payment_facts", {}),
        ("same_weekday", {"period": ["past14days~"]}),
    )
    with server.api() as api, reading(server.settings) as connection:
        for slug, values in asked:
            card = card_named(CONTENT, slug)
            wanted = run_card(connection, card, values, business_today(server.settings), limit=None)
            parameters = [
                {
                    "type": card.tags[name].widget_type,
                    "target": ["dimension", ["template-tag", name]],
                    "value": found[0] if name == "period" else found,
                }
                for name, found in values.items()
            ]
            body = {"parameters": parameters, "format_rows": False}
            if server.standin is not None:
                for item in body["parameters"]:
                    item["value"] = item["value"] if isinstance(item["value"], list) else [item["value"]]
            answer = api.post(f"/api/card/{cards[card.entity_id]['id']}/query/csv", json=body)
            assert answer.status_code == 200, answer.text
            rows = list(csv.reader(io.StringIO(answer.text.removeprefix("﻿"))))
            assert len(rows) - 1 == len(wanted.rows), slug
            assert len(rows[0]) == len(wanted.columns)


def test_a_changed_file_makes_exactly_the_writes_that_it_needs(server: Server) -> None:
    server.apply()
    before = server.dashboard("finance_daily_close")
    card = card_named(CONTENT, "close_by_currency")
    number = server.ours("card")[card.entity_id]["id"]
    changed = changed_card("close_by_currency", sql=card.sql + "limit 5000\n")
    report = server.apply(changed)
    assert report.writes == (("PUT", f"/api/card/{number}"),)
    assert report.changes[0].details == ("dataset_query",)
    board = CONTENT.dashboard("finance_daily_close")
    lower = replace(board, dashcards=tuple(replace(place, row=place.row + 1) for place in board.dashcards))
    moved = replace(changed, dashboards={**CONTENT.dashboards, board.entity_id: lower})
    report = server.apply(moved)
    assert report.writes == (("PUT", f"/api/dashboard/{before['id']}"),)
    after = server.dashboard("finance_daily_close")
    assert {item["id"] for item in after["dashcards"]} == {item["id"] for item in before["dashcards"]}
    assert attachments(server) == 3
    assert server.apply(moved).writes == ()


def attachments(server: Server) -> int:
    """Files that subscriptions send."""
    count = 0
    with server.api() as api:
        for board in server.ours("dashboard").values():
            for item in api.get("/api/pulse", params={"dashboard_id": board["id"]}).json():
                count += 0 if item["archived"] else len(item["cards"])
    return count


def test_what_was_changed_by_hand_comes_back(server: Server) -> None:
    server.apply()
    cards = server.ours("card")
    one, other = list(cards.values())[:2]
    with server.api() as api:
        assert api.put(f"/api/card/{one['id']}", json={"name": "Mine now"}).status_code == 200
        assert api.put(f"/api/card/{other['id']}", json={"archived": True}).status_code == 200
    report = server.apply()
    assert {(item.kind, item.details) for item in report.changes} == {("card", ("name",)), ("card", ("archived",))}
    assert set(server.ours("card")) == set(CONTENT.cards)
    assert server.apply().writes == ()


def test_a_file_that_is_gone_is_archived_and_what_others_made_stays(server: Server) -> None:
    server.apply()
    home = server.ours("collection")[CONTENT.dashboard("data_quality").collection_id or ""]["id"]
    ours = server.ours("card")[card_named(CONTENT, "quality_flags").entity_id]
    stage = {"lib/type": "mbql.stage/native", "native": "select 1", "template-tags": {}}
    database = ours["dataset_query"]["database"]
    query = {"lib/type": "mbql/query", "database": database, "stages": [stage]}
    plain = {"display": "table", "visualization_settings": {}, "dataset_query": query, "collection_id": home}
    made: list[tuple[str, int, str]] = []
    with server.api() as api:
        made.append(("card", api.post("/api/card", json={**plain, "name": "Of a person"}).json()["id"], "Of a person"))
        board = api.post("/api/dashboard", json={"name": "A person's", "collection_id": home}).json()
        made.append(("dashboard", board["id"], "A person's"))
        own = api.post("/api/collection", json={"name": "A person's folder"}).json()["id"]
        copy = {**plain, "name": "A copy", "description": ours["description"], "collection_id": own}
        if server.standin is not None:
            # Somebody else's copy carries our mark, but not us as its maker.
            login = httpx.post(
                f"{server.standin.url}/api/session",
                json={"username": LOGIN["METABASE_ADMIN_EMAIL"], "password": LOGIN["METABASE_ADMIN_PASSWORD"]},
            ).json()["id"]
            answer = httpx.post(f"{server.standin.url}/api/card", json=copy, headers={"X-Metabase-Session": login})
            made.append(("card", answer.json()["id"], "A copy"))
    report = server.apply(without("data_quality"))
    gone = {(item.kind, item.name) for item in report.changes if item.action == "archive"}
    assert ("dashboard", "Data quality") in gone
    assert ("card", "Flags of the source data") in gone
    with server.api() as api:
        assert api.get(f"/api/card/{ours['id']}").json()["archived"] is True
        for kind, number, name in made:
            found = api.get(f"/api/{kind}/{number}").json()
            assert (found["name"], found["archived"]) == (name, False)
    assert server.apply(without("data_quality")).writes == ()
    back = server.apply()
    assert ("dashboard", "Data quality") in {(item.kind, item.name) for item in back.changes}
    with server.api() as api:
        assert api.get(f"/api/card/{ours['id']}").json()["archived"] is False
    assert server.apply().writes == ()


class Cut(Exception):
    """The process is gone."""


@pytest.mark.parametrize("after", [1, 3, 9, 40, 90, 105])
def test_what_broke_off_in_the_middle_is_completed_by_the_next_apply(
    server: Server, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after some writes, one time with the last of them arrived, one time without."""
    send = Client._send

    def cut(self: Client, method: str, path: str, **more: Any) -> Any:
        if method != "GET" and len(self.writes) >= after:
            if after % 2:
                send(self, method, path, **more)
            raise Cut
        return send(self, method, path, **more)

    monkeypatch.setattr(Client, "_send", cut)
    with pytest.raises(Cut):
        server.apply()
    monkeypatch.undo()
    server.apply()
    assert set(server.ours("card")) == set(CONTENT.cards)
    assert set(server.ours("dashboard")) == set(CONTENT.dashboards)
    assert set(server.ours("collection")) == set(CONTENT.collections)
    assert attachments(server) == 3
    assert server.apply().writes == ()


def test_a_plan_writes_nothing_and_names_what_an_apply_then_does(server: Server) -> None:
    if server.standin is not None:
        with pytest.raises(DashboardError, match="no user yet"):
            server.apply(dry=True)
    server.apply()
    changed = changed_card("as_of", name="As of now")
    plan = server.apply(changed, dry=True)
    assert plan.writes == ()
    assert [(item.action, item.kind, item.name, item.details) for item in plan.changes] == [
        ("update", "card", "As of now", ("name",))
    ]
    assert server.apply(changed).changes == plan.changes


def test_groups_see_their_collections_and_nobody_writes_queries(server: Server) -> None:
    server.apply()
    folders = {item["name"]: str(item["id"]) for item in server.ours("collection").values()}
    with server.api() as api:
        groups = {item["name"]: str(item["id"]) for item in api.get("/api/permissions/group").json()}
        graph = api.get("/api/collection/graph").json()["groups"]
        data = api.get("/api/permissions/graph").json()["groups"]
        bases = {item["name"]: str(item["id"]) for item in api.get("/api/database").json()["data"]}
    for name, group in DEPLOY.groups.items():
        rules = graph[groups[name]]
        assert {title for title, number in folders.items() if rules.get(number) == "read"} == set(group.reads)
        assert not any(rules.get(number) == "write" for number in folders.values())
    assert all(graph[groups["All Users"]].get(number, "none") == "none" for number in folders.values())
    for name in (*DEPLOY.groups, "All Users"):
        for connection in DEPLOY.connections:
            assert data[groups[name]][bases[connection]]["create-queries"] == "no"


def test_each_connection_has_a_login_that_reads_marts_and_nothing_else(server: Server) -> None:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    server.apply()
    kept = read_json(server.settings.psp_home / "metabase.json") or {}
    assert (server.settings.psp_home / "metabase.json").stat().st_mode & 0o077 == 0
    assert server.settings.psp_database_url is not None
    parts = conninfo_to_dict(server.settings.psp_database_url.get_secret_value())
    for connection in DEPLOY.connections.values():
        login = {**parts, "user": connection.role, "password": kept["passwords"][connection.role]}
        with psycopg.connect(**{key: str(value) for key, value in login.items()}, autocommit=True) as reader:
            assert reader.execute("select count(*) from marts.fct_transactions").fetchone() != (0,)
            for forbidden in (
                "select count(*) from raw.vima_operations",
                "create table marts.x (y int)",
                "delete from marts.fct_transactions",
            ):
                with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                    reader.execute(forbidden)


def test_a_lost_key_and_lost_passwords_are_made_anew(server: Server) -> None:
    server.apply()
    (server.settings.psp_home / "metabase.json").unlink()
    report = server.apply()
    assert {item.kind for item in report.changes} == {"database role", "connection"}
    assert server.apply().writes == ()


def test_subscriptions_send_files_and_go_when_nobody_is_to_get_them(server: Server) -> None:
    server.apply()
    board = server.dashboard("finance_daily_close")
    with server.api() as api:
        (found,) = api.get("/api/pulse", params={"dashboard_id": board["id"]}).json()
    (channel,) = found["channels"]
    assert {one["email"] for one in channel["recipients"]} == {"finance@example.com", "books@example.com"}
    assert channel["details"]["attachment_only"] is True
    assert (channel["schedule_type"], channel["schedule_hour"]) == ("daily", 7)
    assert [(card["include_csv"], card["include_xls"]) for card in found["cards"]] == [(True, True), (True, False)]
    server.settings = server.settings.model_copy(update={"metabase_finance_recipients": None})
    report = server.apply()
    assert {(item.action, item.kind) for item in report.changes} == {("archive", "subscription")}
    assert any("METABASE_FINANCE_RECIPIENTS" in text for text in report.warnings)
    assert server.apply().writes == ()


def test_permissions_that_somebody_changes_at_the_same_moment_are_read_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.standin is None:
        pytest.skip("a real Metabase cannot be made to change in the middle of a request")
    standin, get, met = server.standin, Client.get, []

    def meddling(self: Client, path: str, **query: Any) -> Any:
        found = get(self, path, **query)
        if path == "/api/collection/graph" and not met:
            met.append(path)
            standin.collection_graph["revision"] += 1
        return found

    monkeypatch.setattr(Client, "get", meddling)
    server.apply()
    assert met
    assert ("PUT", "/api/collection/graph") in standin.requests
    assert server.apply().writes == ()


def test_a_wrong_login_and_a_plain_user_are_told(server: Server) -> None:
    if server.standin is None:
        pytest.skip("users of a real Metabase are not made here")
    server.apply()
    wrong = server.settings.model_copy(update={"psp_home": server.settings.psp_home / "other"})
    secret = type(server.settings.metabase_admin_password)("wrong")  # type: ignore[misc,call-arg]
    with pytest.raises(DashboardError, match="401"):
        provision(wrong.model_copy(update={"metabase_admin_password": secret}), CONTENT, DEPLOY, pause_seconds=0.01)
    server.standin.new_user("plain@example.com", "plain")
    plain = wrong.model_copy(
        update={
            "metabase_admin_email": type(secret)("plain@example.com"),
            "metabase_admin_password": type(secret)("plain"),
        }
    )
    with pytest.raises(DashboardError, match="no administrator"):
        provision(plain, CONTENT, DEPLOY, pause_seconds=0.01)


CARD = {"name": "a", "display": "table", "visualization_settings": {}}
STAGE = {"lib/type": "mbql.stage/native", "native": "select 1", "template-tags": {}}
QUERY = {"lib/type": "mbql/query", "database": 1, "stages": [STAGE]}
PLACE = {"id": -1, "row": 0, "col": 0, "size_x": 4, "size_y": 3}


@pytest.mark.parametrize(
    ("method", "path", "body", "good"),
    [
        ("POST", "/api/card", {**CARD, "dataset_query": QUERY}, True),
        ("POST", "/api/card", {**CARD, "dataset_query": QUERY, "colection_id": 1}, False),
        ("POST", "/api/card", {**CARD, "dataset_query": {**QUERY, "databse": 1}}, False),
        ("POST", "/api/card", {"name": "a"}, False),
        ("PUT", "/api/dashboard/1", {"dashcards": [PLACE], "auto_apply_filters": True}, True),
        ("PUT", "/api/dashboard/1", {"dashcards": [{**PLACE, "sizeX": 4}]}, False),
        ("PUT", "/api/dashboard/1", {"dashcards": [{**PLACE, "size_x": 0}]}, False),
        ("PUT", "/api/dashboard/1", {"parameters": [{"id": "a", "type": "date/all"}]}, False),
        ("PUT", "/api/dashboard/1", {"widht": "full"}, False),
        ("POST", "/api/collection", {"name": "a", "parent": 1}, False),
        ("POST", "/api/dashboard/1/cards", {}, False),
        ("PUT", "/api/cache", {"model": "root", "model_id": 0, "strategy": {"type": "ttl"}}, False),
        ("PUT", "/api/email", {"email-smtp-hots": "a"}, False),
    ],
)
def test_the_judge_of_requests_is_strict(method: str, path: str, body: dict[str, Any], good: bool) -> None:
    assert (complaints(method, path, body) == []) is good
