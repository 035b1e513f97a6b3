"""A portal that asks for a one-time code: a person types it once, and everybody uses the session that it gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.core.browser import open_browser
from pipelines.core.errors import SourceContractError
from pipelines.core.settings import Settings
from pipelines.sources.payshack import portal
from pipelines.sources.payshack.client import open_client
from pipelines.sources.payshack.session import SessionStore
from tests.integration.payshack.conftest import DAY, Sandbox

Start = Callable[..., Sandbox]

# Looks at the page every now and then, reads the code where a phone would show it, and confirms.
PERSON = """
setInterval(() => {
  const form = document.getElementById("code-form"), hint = document.getElementById("code-hint");
  const code = (hint && hint.textContent.match(/[0-9]{6}/) || [])[0];
  if (!form || form.hidden || !code || form.dataset.typed === code) return;
  form.dataset.typed = code;
  document.getElementById("otp").value = code;
  form.requestSubmit();
}, 50);
"""


@dataclass
class WatchedBrowser:
    """A browser before which a person sits."""

    browser: Any

    def new_page(self) -> Any:
        page = self.browser.new_page()
        page.add_init_script(PERSON)
        return page


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a window on a screen: the same browser without one, and somebody who types."""

    @contextmanager
    def watched(settings: Settings, *, headed: bool = False) -> Iterator[WatchedBrowser]:
        with open_browser(settings) as browser:
            yield WatchedBrowser(browser)

    monkeypatch.setattr(portal, "open_browser", watched)


def test_a_person_types_the_code_and_loads_use_the_session(start_sandbox: Start, person: None) -> None:
    sandbox = start_sandbox(with_code=True)
    settings, access = sandbox.settings(), sandbox.access()
    session = SessionStore(settings).session(access, headed=True)
    with open_client(settings, access) as client:
        assert client.session.token == session.token
        assert client.day("payin", DAY, page=1).total_records == 250


def test_without_a_person_it_is_said_what_to_do(start_sandbox: Start) -> None:
    sandbox = start_sandbox(with_code=True)
    with pytest.raises(SourceContractError, match=r"without a token.*psp payshack login --headed"):
        SessionStore(sandbox.settings()).session(sandbox.access())
