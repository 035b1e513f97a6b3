"""The portal session: Chromium signs in, the session is kept owner-only and reused until it expires.

    PSP_HOME/payshack/session.json   token, reseller id, cookies, user agent, expiry        (0600)
    PSP_HOME/payshack/breaker.json   refused logins in a row and the end of the cool-down   (0600)
    PSP_HOME/payshack/login.lock     one login at a time across processes

A locked account is worse than late data: after `MAX_REFUSALS` refusals in a row nobody logs in before the cool-down
ends.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.core.browser import open_browser
from pipelines.core.clock import system_clock
from pipelines.core.errors import SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import PayShackAccess, read_json, write_private_json
from pipelines.core.settings import Settings

LOGIN_PATH = "/indigate-user-svc/api/v1/auth/login"
TOKEN_LIFE = timedelta(minutes=30)
EXPIRY_MARGIN = timedelta(minutes=2)
PAGE_TIMEOUT_MS = 30_000
PERSON_TIMEOUT_MS = 300_000
MAX_REFUSALS = 3
COOL_DOWN = timedelta(minutes=30)

EMAIL_FIELD = "input[type=email], input[name=email], input[name=username]"
PASSWORD_FIELD = "input[type=password]"  # noqa: S105 - a selector
SUBMIT_BUTTON = "button[type=submit], input[type=submit]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open portal session. A secret as a whole: never logged, never in metadata."""

    token: str
    reseller_id: str
    user_agent: str
    cookies: list[dict[str, Any]]
    obtained_at: datetime
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Session(expires_at={self.expires_at.isoformat()})"

    def headers(self) -> dict[str, str]:
        """Headers of every request after the login."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "reseller-id": self.reseller_id,
            "User-Agent": self.user_agent,
        }
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in self.cookies)
        return headers


class SessionStore:
    """Keeps the session and the circuit breaker's state under PSP_HOME/payshack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.psp_home / "payshack"

    @property
    def _session_file(self) -> Path:
        return self._folder / "session.json"

    @property
    def _breaker_file(self) -> Path:
        return self._folder / "breaker.json"

    def current(self, access: PayShackAccess) -> Session | None:
        """The kept session while it is valid and belongs to these settings; else None."""
        found = read_json(self._session_file)
        if found is None or found.pop("portal_url", None) != access.portal_url:
            return None
        session = Session(
            **{
                **found,
                "obtained_at": datetime.fromisoformat(found["obtained_at"]),
                "expires_at": datetime.fromisoformat(found["expires_at"]),
            }
        )
        register_secrets([session.token])
        # A stopped clock must not keep a session alive for ever: expiry is real time.
        return session if system_clock() < session.expires_at - EXPIRY_MARGIN else None

    def forget(self) -> None:
        """Drop the kept session, because the provider refused it."""
        self._session_file.unlink(missing_ok=True)

    def session(self, access: PayShackAccess, *, headed: bool = False) -> Session:
        """The kept session, or a new one. One login at a time: who waited takes what the other one got.

        Raises SourceAuthError, SourceUnavailable, SourceContractError or BrowserError.
        """
        with self._login_lock():
            kept = self.current(access)
            if kept is not None and not headed:
                return kept
            with self._counted():
                session = login(self._settings, access, headed=headed)
            kept_form = {**asdict(session), "portal_url": access.portal_url}
            kept_form["obtained_at"] = session.obtained_at.isoformat()
            kept_form["expires_at"] = session.expires_at.isoformat()
            write_private_json(self._session_file, kept_form)
            return session

    @contextmanager
    def login_attempt(self) -> Iterator[None]:
        """A login made in the block, by whoever keeps its session alone: one at a time, and counted like any other."""
        with self._login_lock(), self._counted():
            yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.refuse_while_cooling()
        try:
            yield
        except SourceAuthError:
            self._count_refusal()
            raise
        self._breaker_file.unlink(missing_ok=True)

    @contextmanager
    def _login_lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "login.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def refuse_while_cooling(self) -> None:
        """Raise SourceAuthError while no login may be tried, because too many were refused."""
        state = read_json(self._breaker_file) or {}
        until = datetime.fromisoformat(state["until"]) if state.get("until") else None
        if until is not None and system_clock() < until:
            raise SourceAuthError(
                f"PayShack refused {state['refusals']} logins in a row; no login is tried before {until:%H:%M} UTC.",
                fix="correct PAYSHACK_EMAIL and PAYSHACK_PASSWORD, then run `psp payshack login --reset`",
            )

    def _count_refusal(self) -> None:
        refusals = int((read_json(self._breaker_file) or {}).get("refusals", 0)) + 1
        until = (system_clock() + COOL_DOWN).isoformat() if refusals >= MAX_REFUSALS else None
        write_private_json(self._breaker_file, {"refusals": refusals, "until": until})

    def reset_breaker(self) -> None:
        """Allow the next login at once; for a person who has corrected the credentials."""
        self._breaker_file.unlink(missing_ok=True)


def login(settings: Settings, access: PayShackAccess, *, headed: bool = False) -> Session:
    """Sign in on the portal's own page in Chromium. `headed` shows the window and leaves an OTP to a person."""
    with open_browser(settings, headed=headed) as browser:
        return login_in(browser.new_page(), access, patience_ms=PERSON_TIMEOUT_MS if headed else PAGE_TIMEOUT_MS)


def login_in(page: Page, access: PayShackAccess, *, patience_ms: int = PAGE_TIMEOUT_MS) -> Session:
    """Sign in within an open page and take over its session."""
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    try:
        page.goto(access.portal_url, wait_until="domcontentloaded")
    except PlaywrightError as error:
        reason = "no answer in time" if isinstance(error, PlaywrightTimeout) else "it cannot be reached"
        raise SourceUnavailable(
            f"The PayShack portal does not open: {reason}.", fix="check PAYSHACK_PORTAL_URL and that the portal is up"
        ) from None
    try:
        page.fill(EMAIL_FIELD, access.email)
        page.fill(PASSWORD_FIELD, access.password)
        with page.expect_response(_is_login_answer, timeout=patience_ms) as expected:
            page.click(SUBMIT_BUTTON)
        answer = expected.value
    except PlaywrightTimeout:
        raise SourceContractError(
            "The PayShack portal shows no login form that can be used, or did not answer the login.",
            fix="open the portal by hand; for an OTP use `psp payshack login --headed`",
        ) from None
    return _session_from(answer, page)


def _is_login_answer(response: Response) -> bool:
    return response.url.split("?")[0].endswith(LOGIN_PATH) and response.request.method == "POST"


def _session_from(answer: Response, page: Page) -> Session:
    try:
        body = answer.json()
    except (PlaywrightError, json.JSONDecodeError, UnicodeDecodeError):
        body = {}
    if answer.status >= 500:
        raise SourceUnavailable(
            f"The PayShack login answered HTTP {answer.status}.", fix="try again later; the portal is in trouble"
        )
    data = body.get("data") if isinstance(body, dict) else None
    # A refusal may come with HTTP 200.
    if answer.status in (400, 401, 403, 422) or (isinstance(body, dict) and body.get("success") is False):
        raise SourceAuthError(
            "PayShack refused the login: the e-mail or the password is wrong, or the account is locked.",
            fix="check PAYSHACK_EMAIL and PAYSHACK_PASSWORD by signing in by hand",
        )
    if not isinstance(data, dict) or not data.get("token") or not data.get("clientId"):
        raise SourceContractError(
            f"The PayShack login answered HTTP {answer.status} without a token.",
            fix="open the portal by hand; its login may have changed",
        )
    register_secrets([str(data["token"]), str(data.get("refreshToken") or ""), str(data.get("secretKey") or "")])
    obtained_at = system_clock()
    return Session(
        token=str(data["token"]),
        reseller_id=str(data["clientId"]),
        user_agent=str(page.evaluate("navigator.userAgent")),
        cookies=[{"name": cookie["name"], "value": cookie["value"]} for cookie in page.context.cookies()],
        obtained_at=obtained_at,
        expires_at=obtained_at + TOKEN_LIFE,
    )


def open_page(browser: Browser, access: PayShackAccess) -> tuple[Page, Session]:
    """A signed-in page that stays open, for the transport that asks from inside the portal."""
    page = browser.new_page()
    return page, login_in(page, access)
