"""/dashboards: the dashboards of the repository, drawn with real results, for a browser.

A browser cannot send a bearer key with a click, so the key (scope `read`) is given once and exchanged for a cookie that
only this process understands; it ends with the key, after half a day, or with the process.
"""

import hashlib
import secrets
import time
from functools import lru_cache, partial
from html import escape
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.sidecar.auth import Caller, bearer_of, gate
from pipelines.sidecar.errors import ApiError

COOKIE = "psp_dashboards"
SESSION_SECONDS = 12 * 3600
OPEN_SESSIONS = 1000
MAX_FORM_BYTES = 4096
PREFIX = "/dashboards/"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(prefix="/dashboards", include_in_schema=False)


class Sessions:
    """Cookies of this process and the callers behind them."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[float, Caller]] = {}

    def begin(self, caller: Caller) -> str:
        """A new cookie; the oldest gives way when there are too many."""
        now = time.monotonic()
        kept = {key: found for key, found in self._open.items() if found[0] > now}
        while len(kept) >= OPEN_SESSIONS:
            kept.pop(next(iter(kept)))
        cookie = secrets.token_urlsafe(32)
        self._open = {**kept, _digest(cookie): (now + SESSION_SECONDS, caller)}
        return cookie

    def caller(self, cookie: str) -> Caller | None:
        """Who gave the key, while the cookie is fresh."""
        expires, caller = self._open.get(_digest(cookie), (0.0, None))
        return caller if expires > time.monotonic() else None


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def _sessions(request: Request) -> Sessions:
    state = request.app.state
    if not hasattr(state, "dashboard_sessions"):
        state.dashboard_sessions = Sessions()
    found: Sessions = state.dashboard_sessions
    return found


def _admitted(request: Request) -> bool:
    bearer = bearer_of(request.headers.items())
    if bearer is not None:
        gate(request).admit(bearer, "read")
        return True
    caller = _sessions(request).caller(request.cookies.get(COOKIE, ""))
    return caller is not None and gate(request).still_admitted(caller)


@router.get("")
@router.get("/")
async def shelf(request: Request) -> Response:
    """All dashboards."""
    if not _admitted(request):
        return _door()
    return await _answer(request, None)


@router.get("/{slug}")
async def board(request: Request, slug: str, refresh: Annotated[int | None, Query(ge=10, le=3600)] = None) -> Response:
    """One dashboard; its filters are the query."""
    if not _admitted(request):
        return _door()
    return await _answer(request, slug, refresh)


@router.post("/session")
async def enter(request: Request) -> Response:
    """The key for a cookie."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return _door("That is no key.", 400)
    key = (parse_qs(body.decode("utf-8", "replace")).get("key") or [""])[0].strip()
    try:
        caller = gate(request).admit(key, "read")
    except ApiError as error:
        return _door(error.message, error.status)
    answer = RedirectResponse(PREFIX, status_code=303)
    answer.set_cookie(
        COOKIE,
        _sessions(request).begin(caller),
        max_age=SESSION_SECONDS,
        path="/dashboards",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


async def _answer(request: Request, slug: str | None, refresh: int | None = None) -> Response:
    asked: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name != "refresh":
            asked.setdefault(name, []).append(value)
    settings: Settings = request.app.state.settings
    try:
        html = await run_in_threadpool(partial(_drawn, settings, slug, asked, refresh))
    except DashboardError as error:
        status = 404 if error.message.startswith("There is no dashboard") else 400
        return HTMLResponse(_message(error.message, error.fix), status, HEADERS)
    return HTMLResponse(html, headers=HEADERS)


def _drawn(settings: Settings, slug: str | None, asked: dict[str, list[str]], refresh: int | None) -> str:
    # Heavy: charts. Only a sidecar that is asked for dashboards pays for them.
    from pipelines.dashboards.files import FOLDER
    from pipelines.dashboards.preview.page import index, page
    from pipelines.dashboards.preview.view import Addresses, View
    from pipelines.dashboards.warehouse import reading

    addresses = Addresses(prefix=PREFIX)
    content = _content(max(path.stat().st_mtime_ns for path in FOLDER.rglob("*.yaml")))
    if slug is None:
        return index(content, addresses)
    chosen = content.dashboard(slug)
    with reading(settings) as connection:
        view = View(connection, settings, content, chosen, asked)
    return page(view, addresses, served=True, refresh=refresh)


@lru_cache(maxsize=1)
def _content(newest: int) -> Any:
    """The files, read again when one of them is newer: who edits a dashboard sees it at the next look."""
    from pipelines.dashboards.files import load_content

    return load_content()


def _door(wrong: str = "", status: int = 401) -> Response:
    told = f'<p class="wrong">{escape(wrong)}</p>' if wrong else ""
    inner = (
        f"<h1>Dashboards</h1><p>Give an API key with the scope <code>read</code>. A sandbox start prints one.</p>{told}"
        f'<form method="post" action="{PREFIX}session"><input name="key" type="password" autocomplete="off" autofocus'
        ' aria-label="API key" placeholder="psp_…"><button>Open</button></form>'
    )
    return HTMLResponse(_framed(inner), status, HEADERS)


def _message(text: str, fix: str) -> str:
    return _framed(
        f"<h1>Dashboards</h1><p>{escape(text)}</p><p>{escape(fix)}</p><p><a href='{PREFIX}'>All dashboards</a></p>"
    )


def _framed(inner: str) -> str:
    from pipelines.dashboards.preview.page import asset

    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Dashboards · PSP</title>'
        f'<style>{asset("page.css")} body{{display:block}}</style><div class="door">{inner}</div></html>'
    )
