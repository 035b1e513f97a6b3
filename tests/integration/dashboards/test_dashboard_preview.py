"""Pages without Metabase: real results, filters by address, links that lead on, nothing fetched from anywhere."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
import uvicorn

from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.dashboards.entities import Content
from pipelines.dashboards.files import load_content
from pipelines.dashboards.preview.files import write_pages, write_pictures
from pipelines.dashboards.preview.page import page
from pipelines.dashboards.preview.view import Addresses, View
from pipelines.dashboards.warehouse import reading
from pipelines.sidecar.app import create_app
from pipelines.sidecar.keys import create_key
from tests.sandbox import free_port

SERVED = Addresses(prefix="/dashboards/")


@pytest.fixture(scope="module")
def content() -> Content:
    return load_content()


@pytest.fixture
def marts(loaded_settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with reading(loaded_settings) as connection:
        yield connection


@contextmanager
def served(settings: Settings) -> Iterator[httpx.Client]:
    """The sidecar's app behind a real socket, in a thread."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=30)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in ("img", "script", "link", "iframe") and (found.get("src") or found.get("href")):
            self.fetched.append(tag)


def links_of(html: str) -> _Links:
    parser = _Links()
    parser.feed(html)
    return parser


def test_every_dashboard_is_drawn_and_every_link_in_it_opens_a_page(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    """A click's address is answered by the page that it names, with values that this page takes."""
    seen: dict[str, dict[str, list[str]]] = {}
    for board in content.ordered():
        view = View(marts, loaded_settings, content, board, {})
        assert [tile.problem for tile in view.tiles if tile.problem] == []
        html = page(view, SERVED, served=True)
        found = links_of(html)
        assert found.fetched == []
        assert re.search(r"url\((?!#)", html) is None
        assert "@import" not in html
        for tile in view.tiles:
            if (
                tile.card is not None
                and tile.card.display in ("bar", "line", "area")
                and tile.result
                and tile.result.rows
            ):
                assert 'role="graphics-symbol"' in html, tile.card.name
        for address in found.links:
            parts = urlsplit(address)
            if parts.query:
                seen.setdefault(parts.path, parse_qs(parts.query, keep_blank_values=True))
    assert "/dashboards/payment_detail" in seen
    assert "/dashboards/reconciliation_day" in seen
    for path, asked in seen.items():
        target = View(marts, loaded_settings, content, content.dashboard(path.rpartition("/")[2]), asked)
        assert [tile.problem for tile in target.tiles if tile.problem] == []
        assert any(tile.result is not None and tile.result.rows for tile in target.tiles)


def test_filters_of_an_address_reach_the_cards(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    def created(asked: dict[str, list[str]]) -> int:
        view = View(marts, loaded_settings, content, content.dashboard("overview"), asked)
        tile = next(item for item in view.tiles if item.card is not None and item.card.name == "Payments")
        assert tile.result is not None
        return int(tile.result.rows[0][0])

    count = "select count(*) from marts.fct_transactions where {}"
    for asked, truth in (
        ({"period": [""], "source": [""]}, "true"),
        ({"period": [""]}, "source = 'vima'"),
        ({"period": [""], "source": ["", "vima", "payshack"]}, "source in ('vima', 'payshack')"),
        (
            {"period": ["2026-01-10~2026-01-12"]},
            "source = 'vima' and business_date between '2026-01-10' and '2026-01-12'",
        ),
        ({"period": [""], "project": ["no such project"]}, "false"),
    ):
        expected = marts.execute(count.format(truth)).fetchone()
        assert expected is not None
        assert created(asked) == expected[0], asked


def test_a_filter_that_is_not_there_or_no_date_is_refused(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    for asked in ({"projekt": ["a"]}, {"period": ["whenever"]}):
        with pytest.raises(DashboardError):
            View(marts, loaded_settings, content, content.dashboard("overview"), asked)


def test_an_empty_card_says_why(content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings) -> None:
    asked = {"project": ["<nobody>"]}
    html = page(View(marts, loaded_settings, content, content.dashboard("transactions"), asked), SERVED, served=True)
    assert "Nothing fits Period: 7 days and today · Project: <nobody>." in unescape(html)
    assert "<nobody>" not in html
    html = page(View(marts, loaded_settings, content, content.dashboard("payment_detail"), {}), SERVED, served=True)
    assert "Nothing is chosen yet. Set Payment" in html


def test_files_are_whole_pages_and_pictures(content: Content, loaded_settings: Settings, tmp_path: Path) -> None:
    pages = write_pages(
        loaded_settings, content, tmp_path, slugs=["overview"], values={"project": ["91game"]}, say=lambda _: None
    )
    html = pages[0].read_text(encoding="utf-8")
    assert "<svg" in html
    assert 'href="transactions.html"' in html
    assert (tmp_path / "index.html").exists()
    (picture,) = write_pictures(loaded_settings, pages, say=lambda _: None)
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    assert width == 1440
    assert height > 900
    with pytest.raises(DashboardError, match="No dashboard has a filter"):
        write_pages(loaded_settings, content, tmp_path, values={"projekt": ["x"]}, say=lambda _: None)


def test_the_sidecar_serves_them_to_who_has_a_key(loaded_settings: Settings) -> None:
    key = create_key(loaded_settings, name="reader", scopes=["read"])
    other = create_key(loaded_settings, name="exporter", scopes=["export"])
    with served(loaded_settings) as client:
        door = client.get("/dashboards/overview")
        assert door.status_code == 401
        assert "API key" in door.text
        assert "Payments by day" not in door.text
        assert client.post("/dashboards/session", data={"key": "wrong"}).status_code == 401
        assert client.post("/dashboards/session", data={"key": other}).status_code == 403
        assert client.post("/dashboards/session", content=b"x" * 10_000).status_code == 400
        bearer = client.get("/dashboards/overview", headers={"Authorization": f"Bearer {key}"})
        assert bearer.status_code == 200
        entered = client.post("/dashboards/session", data={"key": key})
        assert entered.status_code == 200
        assert "Reconciliation day" in entered.text
        cookie = entered.history[0].headers["set-cookie"]
        assert re.search(r"HttpOnly", cookie)
        assert key not in cookie
        shown = client.get("/dashboards/overview", params={"project": "91game", "refresh": "60"})
        assert shown.status_code == 200
        assert "Payments by day and state" in shown.text
        assert 'http-equiv="refresh" content="60"' in shown.text
        assert "default-src 'none'" in shown.headers["content-security-policy"]
        assert client.get("/dashboards/nothing").status_code == 404
        assert client.get("/dashboards/overview", params={"projekt": "x"}).status_code == 400
