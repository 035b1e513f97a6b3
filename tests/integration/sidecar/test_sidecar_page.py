"""The live page in a real Chromium: the data changes underneath, and the page by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipelines.core.browser import find_browser
from tests.integration.sidecar.conftest import eventually, sidecar_process, wait_until_up

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
WAIT_MS = 30_000
NEWEST = "select transaction_id from marts.fct_transactions order by created_at desc, transaction_id desc limit 1"


@pytest.fixture(scope="module")
def browser(sidecar: Any) -> Iterator[Browser]:
    """One Chromium for the module."""
    with sync_playwright() as playwright:
        program = str(find_browser(sidecar.settings))
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page with a key typed in; what it complains about, or asks of another host, fails the test."""
    pages: list[Page] = []
    wrong: list[str] = []

    def make(running: Any, *, key: str | None = "read", quiet: bool = True, **options: Any) -> Page:
        page = browser.new_page(viewport=options.pop("viewport", DESK), **options)
        pages.append(page)
        if quiet:
            page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith((running.url, "data:")) else wrong.append(asked.url)
        )
        page.goto(f"{running.url}/live")
        if key is not None:
            page.get_by_label("API key").fill(running.keys.get(key, key))
            page.get_by_role("button", name="Open").click()
        return page

    yield make
    for page in pages:
        page.close()
    assert wrong == []


def is_live(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("live", timeout=WAIT_MS)


def test_what_changes_underneath_is_seen_without_a_hand(
    sidecar: Any, database: psycopg.Connection, open_page: Callable[..., Page]
) -> None:
    page = open_page(sidecar)
    is_live(page)
    rows = page.locator("#transactions tr")
    expect(rows).to_have_count(25, timeout=WAIT_MS)
    expect(page.locator("#sources tr")).to_have_count(4)
    expect(page.locator("#breaks tr")).to_have_count(8)
    expect(page.locator("#recent tr").first).to_contain_text("created")
    expect(page.locator("#asof")).to_have_attribute("title", "2026-01-20T11:58:30Z")
    newest = database.execute(NEWEST).fetchone()
    assert newest is not None
    shown = page.locator(f'[data-id="{newest[0]}"]')
    before = shown.inner_text()
    assert "=<b>" not in before
    change = "update marts.fct_transactions set project = %s where transaction_id = %s"
    kept = database.execute("select project from marts.fct_transactions where transaction_id = %s", newest).fetchone()
    assert kept is not None
    try:
        with database.transaction():
            database.execute(change, ("=<b>new</b>", newest[0]))
            database.execute("update intermediate.model_state set processed_xid = processed_xid")
            database.execute("select pg_notify('psp_freshness', '{}')")
        # As text: what a source sends never becomes part of the page.
        expect(shown).to_contain_text("=<b>new</b>", timeout=WAIT_MS)
    finally:
        with database.transaction():
            database.execute(change, (kept[0], newest[0]))
            database.execute("update intermediate.model_state set processed_xid = processed_xid")
            database.execute("select pg_notify('psp_freshness', '{}')")
    expect(shown).not_to_contain_text("<b>", timeout=WAIT_MS)
    assert shown.inner_text() == before


def test_a_load_is_told_as_it_happens(
    sidecar: Any, database: psycopg.Connection, open_page: Callable[..., Page]
) -> None:
    page = open_page(sidecar)
    is_live(page)
    database.execute(
        "insert into raw.load_runs (source, mode, scope, status, started_at)"
        " values ('vima', 'window', 'page', 'running', now())"
    )
    try:
        expect(page.locator("#events li").first).to_contain_text("vima: loading", timeout=WAIT_MS)
        expect(page.locator("#sources")).to_contain_text("running", timeout=WAIT_MS)
    finally:
        database.execute("delete from raw.load_runs where scope = 'page'")


def test_it_comes_back_by_itself_when_the_sidecar_was_away(
    marts: str, start_sidecar: Callable[..., Any], open_page: Callable[..., Page]
) -> None:
    with start_sidecar(marts) as running:
        page = open_page(running, quiet=False)
        is_live(page)
        running.process.terminate()
        running.process.wait(timeout=30)
        expect(page.locator("#state")).to_contain_text("not connected", timeout=WAIT_MS)
        with sidecar_process(running.settings) as again:
            wait_until_up(running.url, again)
            is_live(page)
            expect(page.locator("#transactions tr")).to_have_count(25, timeout=WAIT_MS)


def test_a_wrong_key_is_told_and_forgotten(sidecar: Any, open_page: Callable[..., Page]) -> None:
    page = open_page(sidecar, key="psp_0_wrong", quiet=False)
    expect(page.locator("#refusal")).to_contain_text("not known", timeout=WAIT_MS)
    expect(page.locator("#transactions")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(sidecar: Any, open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(sidecar, viewport=PHONE, color_scheme=scheme)
    is_live(page)
    expect(page.locator("#transactions tr")).to_have_count(25, timeout=WAIT_MS)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ink, paper = page.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name].match(/[0-9]+/g).map(Number))"
    )
    assert (sum(ink) < sum(paper)) is (scheme == "light")


def test_the_page_itself_tells_nothing_and_asks_nobody_else(sidecar: Any) -> None:
    for path in ("/live", "/live.js"):
        answer = httpx.get(f"{sidecar.url}{path}")
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "http" not in answer.text.replace('location.protocol.replace("http", "ws")', "")
    eventually(lambda: httpx.get(f"{sidecar.url}/live/../live.js").status_code == 200)
    for path in ("/live/..%2f..%2fkeys.py", "/live/%2e%2e/app.py", "/live.html", "/page/live.html", "/live.js/x"):
        assert httpx.get(f"{sidecar.url}{path}").status_code == 404, path
