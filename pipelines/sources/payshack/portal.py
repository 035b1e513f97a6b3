"""Signing in on the portal's own page, in a real Chromium, and taking over the session that it gets.

portal page -> e-mail, password -> (a person types an OTP) -> the login service's answer -> Session
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Response
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.core.browser import open_browser
from pipelines.core.clock import system_clock
from pipelines.core.errors import SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import PayShackAccess
from pipelines.core.settings import Settings

LOGIN_PATH = "/indigate-user-svc/api/v1/auth/login"
TOKEN_LIFE = timedelta(minutes=30)
PAGE_TIMEOUT_MS = 30_000
ANSWER_SECONDS = 30
PERSON_SECONDS = 300
LOOK_EVERY_MS = 100

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
    cookie_header: str
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
        return headers | {"Cookie": self.cookie_header} if self.cookie_header else headers


def login(settings: Settings, access: PayShackAccess, *, headed: bool = False) -> Session:
    """Sign in with a browser of its own. `headed` shows the window and leaves an OTP to a person."""
    with open_browser(settings, headed=headed) as browser:
        return sign_in(browser.new_page(), access, with_person=headed)


def sign_in(page: Page, access: PayShackAccess, *, with_person: bool = False) -> Session:
    """Sign in within an open page, which stays signed in. With a person, steps after the password are waited for.

    Raises SourceAuthError, SourceUnavailable or SourceContractError.
    """
    answers: list[Response] = []

    def note(response: Response) -> None:
        if response.request.method == "POST" and response.url.startswith(access.api_url):
            answers.append(response)

    open_portal(page, access, signed_out=True)
    page.on("response", note)
    try:
        _submit(page, access)
        seconds = PERSON_SECONDS if with_person else ANSWER_SECONDS
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            while answers:
                session = _session_from(answers.pop(0), page, access, with_person=with_person)
                if session is not None:
                    return session
            page.wait_for_timeout(LOOK_EVERY_MS)
        raise SourceUnavailable(
            f"The PayShack portal did not answer the login within {seconds} s.",
            fix="finish the login sooner" if with_person else "try again later; the portal is in trouble",
        )
    except PlaywrightError:
        raise SourceUnavailable(
            "The PayShack portal's page broke off during the login.", fix="try again; the portal may be in trouble"
        ) from None
    finally:
        page.remove_listener("response", note)


def open_portal(page: Page, access: PayShackAccess, *, signed_out: bool = False) -> None:
    """Go to the portal; `signed_out` drops what an earlier session has left, so that the login form shows.

    Raises SourceUnavailable when the portal does not open.
    """
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    try:
        if signed_out and page.url.startswith(access.portal_url):
            page.evaluate("() => { sessionStorage.clear(); localStorage.clear(); }")
            page.context.clear_cookies()
        answer = page.goto(access.portal_url, wait_until="domcontentloaded")
    except PlaywrightError as error:
        reason = "no answer in time" if isinstance(error, PlaywrightTimeout) else "it cannot be reached"
        raise SourceUnavailable(
            f"The PayShack portal does not open: {reason}.", fix="check PAYSHACK_PORTAL_URL and that the portal is up"
        ) from None
    if answer is not None and (answer.status >= 500 or answer.status == 429):
        raise SourceUnavailable(
            f"The PayShack portal does not open: HTTP {answer.status}.", fix="try again later; the portal is in trouble"
        )


def _submit(page: Page, access: PayShackAccess) -> None:
    try:
        page.fill(EMAIL_FIELD, access.email)
        page.fill(PASSWORD_FIELD, access.password)
        page.click(SUBMIT_BUTTON)
    except PlaywrightTimeout:
        raise SourceContractError(
            "The PayShack portal shows no login form that can be used.",
            fix="check PAYSHACK_PORTAL_URL, and open the portal by hand: its login may have changed",
        ) from None


def _session_from(answer: Response, page: Page, access: PayShackAccess, *, with_person: bool) -> Session | None:
    """The session that an answer brings; None where it is not what the login waits for."""
    is_login = answer.url.split("?")[0].endswith(LOGIN_PATH)
    if not is_login and not with_person:
        return None
    try:
        body = answer.json()
    except (PlaywrightError, json.JSONDecodeError, UnicodeDecodeError):
        body = {}
    body = body if isinstance(body, dict) else {}
    if is_login:
        _refuse(answer.status, body)
    data = body.get("data")
    if isinstance(data, dict) and data.get("token") and data.get("clientId"):
        return _session(data, page, access)
    if with_person:
        return None
    raise SourceContractError(
        f"The PayShack login answered HTTP {answer.status} without a token.",
        fix="if it asks for an OTP, use `psp payshack login --headed`; else open the portal by hand",
    )


def _refuse(status: int, body: dict[str, Any]) -> None:
    if status >= 500 or status == 429:
        raise SourceUnavailable(
            f"The PayShack login answered HTTP {status}.", fix="try again later; the portal is in trouble"
        )
    # A refusal may come with HTTP 200.
    if status in (400, 401, 403, 422) or body.get("success") is False:
        raise SourceAuthError(
            "PayShack refused the login: the e-mail or the password is wrong, or the account is locked.",
            fix="check PAYSHACK_EMAIL and PAYSHACK_PASSWORD by signing in by hand",
        )


def _session(data: dict[str, Any], page: Page, access: PayShackAccess) -> Session:
    register_secrets([str(data["token"]), str(data.get("refreshToken") or ""), str(data.get("secretKey") or "")])
    obtained_at = system_clock()
    # Only what the browser itself would send there: other sites' cookies stay where they are.
    to_services = page.context.cookies(access.api_url)
    cookies = page.context.cookies([access.portal_url, access.api_url])
    register_secrets([cookie.get("value") for cookie in cookies])
    return Session(
        token=str(data["token"]),
        reseller_id=str(data["clientId"]),
        user_agent=str(page.evaluate("navigator.userAgent")),
        cookies=[dict(cookie) for cookie in cookies],
        cookie_header="; ".join(f"{cookie.get('name')}={cookie.get('value')}" for cookie in to_services),
        obtained_at=obtained_at,
        expires_at=obtained_at + TOKEN_LIFE,
    )
