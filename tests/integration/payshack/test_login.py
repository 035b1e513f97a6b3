"""Signing in on a real page in a real Chromium: once, reused, renewed, refused in a way that locks no account."""

import json
import stat
from collections.abc import Callable

import pytest

from pipelines.core.errors import BrowserError, SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.sources.payshack import portal
from pipelines.sources.payshack.client import open_client, open_kept_client
from pipelines.sources.payshack.session import MAX_REFUSALS, SessionStore
from tests.integration.payshack.conftest import DAY, Sandbox

Start = Callable[..., Sandbox]


def kept(sandbox: Sandbox) -> str:
    return str(json.loads((sandbox.home / "payshack" / "session.json").read_text())["token"])


def read_a_page(sandbox: Sandbox, **changes: str) -> int:
    settings = sandbox.settings(**changes)
    with open_client(settings, sandbox.access(settings)) as client:
        return client.day("payin", DAY, page=1).total_records


@pytest.mark.parametrize("transport", ["http", "browser"])
def test_one_login_serves_all_loads_until_it_expires(start_sandbox: Start, transport: str) -> None:
    sandbox = start_sandbox()
    tokens = set()
    for _ in range(3):
        assert read_a_page(sandbox, PAYSHACK_TRANSPORT=transport) == 250
        tokens.add(kept(sandbox))
    assert len(tokens) == 1


def test_the_transports_share_the_session(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    read_a_page(sandbox)
    token = kept(sandbox)
    assert read_a_page(sandbox, PAYSHACK_TRANSPORT="browser") == 250
    assert kept(sandbox) == token


@pytest.mark.parametrize("transport", ["http", "browser"])
def test_a_session_that_expires_in_the_middle_is_renewed(start_sandbox: Start, transport: str) -> None:
    sandbox = start_sandbox()
    settings = sandbox.settings(PAYSHACK_TRANSPORT=transport)
    with open_client(settings, sandbox.access(settings)) as client:
        client.day("payin", DAY, page=1)
        token = kept(sandbox)
        sandbox.expire_tokens()
        assert client.day("payin", DAY, page=2).total_records == 250
        assert kept(sandbox) != token
        client.day("payin", DAY, page=3)
    assert read_a_page(sandbox) == 250


def test_what_is_kept_is_for_its_owner_alone(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    read_a_page(sandbox)
    path = sandbox.home / "payshack" / "session.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "invented-password-417" not in path.read_text()


def test_a_refused_password_is_told_plainly_and_then_left_alone(
    start_sandbox: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start_sandbox()
    sandbox.write_state(password="another-invented-password")
    for _ in range(MAX_REFUSALS):
        with pytest.raises(SourceAuthError, match="refused the login: the e-mail or the password is wrong") as caught:
            read_a_page(sandbox)
        assert "another-invented-password" not in str(caught.value)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a login was tried")

    with monkeypatch.context() as patched:
        patched.setattr(portal, "sign_in", never)
        for transport in ("http", "browser"):
            with pytest.raises(SourceAuthError, match="no login is tried before"):
                read_a_page(sandbox, PAYSHACK_TRANSPORT=transport)
    sandbox.write_state()
    SessionStore(sandbox.settings()).reset_breaker()
    assert read_a_page(sandbox) == 250


def test_refusals_of_the_browser_transport_count_too(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    sandbox.write_state(password="another-invented-password")
    for _ in range(MAX_REFUSALS):
        with pytest.raises(SourceAuthError, match="refused the login"):
            read_a_page(sandbox, PAYSHACK_TRANSPORT="browser")
    with pytest.raises(SourceAuthError, match="no login is tried"):
        read_a_page(sandbox)


def test_a_portal_that_is_down_is_no_refusal(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    sandbox.write_state(portal_url="http://127.0.0.1:9")
    with pytest.raises(SourceUnavailable, match=r"portal does not open: it cannot be reached.*PAYSHACK_PORTAL_URL"):
        read_a_page(sandbox)
    assert not (sandbox.home / "payshack" / "breaker.json").exists()


def test_a_page_without_a_login_form_is_told_as_such(start_sandbox: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "PAGE_TIMEOUT_MS", 1500)
    sandbox = start_sandbox()
    sandbox.write_state(portal_url=f"{sandbox.state['payshack']['portal_url']}/portal/portal.css")
    with pytest.raises(SourceContractError, match="shows no login form that can be used"):
        read_a_page(sandbox)


def test_a_browser_that_is_absent_or_no_browser_is_told_as_such(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    with pytest.raises(BrowserError, match=r"PSP_CHROMIUM .* is not a program"):
        read_a_page(sandbox, PSP_CHROMIUM="/nowhere/chromium")
    with pytest.raises(BrowserError, match="does not start"):
        read_a_page(sandbox, PSP_CHROMIUM="/bin/true")


def test_a_sensor_never_signs_in(start_sandbox: Start) -> None:
    sandbox = start_sandbox()
    settings = sandbox.settings()
    with open_kept_client(settings, sandbox.access()) as client:
        assert client is None
    read_a_page(sandbox)
    with open_kept_client(settings, sandbox.access()) as client:
        assert client is not None
        assert client.listing("payin", page=1, limit=1).total_records == 250
    sandbox.expire_tokens()
    with open_kept_client(settings, sandbox.access()) as client:
        assert client is not None
        with pytest.raises(SourceAuthError):
            client.listing("payin", page=1, limit=1)
    assert SessionStore(settings).current(sandbox.access()) is None
