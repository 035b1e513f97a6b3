"""Lists, logins and clocks misbehave: shifting and shrinking pages, a provider a day off, lost and refused sessions."""

from datetime import timedelta

import httpx
import pytest

from pipelines.core.runtime import payshack_access
from pipelines.sources.payshack.session import SessionStore
from tests import provider_history as truth
from tests.integration.faults.conftest import SOURCES, Lab, small_pages
from tests.sandbox import STANDING_AT

DAY = 86_400


def test_records_that_vanish_between_two_pages(lab: Lab) -> None:
    """The newest is gone for one page, so the first of the next page moves up and would be missed.

    Pages are small here: a day that fits on one page is read in one moment, and what is hidden then nobody can miss.
    """
    small_pages(lab.patch, payshack=5)
    for after in (7, 15, 30):
        lab.tell("payshack", fault="vanish", after=after)
    assert lab.feed("payshack").ok
    assert lab.left("payshack") == []
    lab.assert_complete("payshack")


@pytest.mark.parametrize("source", SOURCES)
def test_pages_that_shift_while_they_are_read(lab: Lab, source: str) -> None:
    """Ten minutes pass between two pages, six times: new records push in, old ones change."""
    lab.change(PAYSHACK_LOOKBACK_DAYS="31")
    lab.tell(source, fault="hurry", seconds=600, times=6, after=4)
    first = lab.feed(source)
    assert first.ok, first.told
    assert lab.feed(source).ok
    end = STANDING_AT + timedelta(hours=1)
    shown = set().union(*(lab.expected(source, STANDING_AT + timedelta(minutes=10 * step)) for step in range(7)))
    wrong = truth.differences(lab.logged(source), lab.expected(source, end), also_possible=shown)
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["a day ahead", "a day behind"])
def test_a_provider_whose_clock_is_a_day_off(lab: Lab, source: str, seconds: int) -> None:
    lab.tell(source, fault="skew", seconds=seconds)
    outcome = lab.feed(source)
    assert outcome.ok, outcome.told
    lab.assert_complete(source, STANDING_AT + timedelta(seconds=seconds))


def test_tokens_that_expire_in_the_middle(lab: Lab) -> None:
    lab.tell("payshack", fault="tokens", after=7)
    outcome = lab.feed("payshack")
    assert outcome.ok, outcome.told
    assert lab.left("payshack") == []
    lab.assert_complete("payshack")


def test_logins_that_are_refused_are_told_and_left_alone(lab: Lab) -> None:
    store, access = SessionStore(lab.settings), payshack_access(lab.settings)
    store.forget()
    lab.tell("payshack", fault="refuse_login", times=50)
    for _ in range(3):
        assert "refused the login" in lab.feed("payshack").told
    tried = lab.left("payshack")[0]["times"]
    assert "3 logins in a row; no login is tried before" in lab.feed("payshack").told
    assert lab.left("payshack")[0]["times"] == tried, "an account may be locked: nobody knocks any more"
    lab.heal("payshack")
    assert "no login is tried before" in lab.feed("payshack").told
    store.reset_breaker()
    assert lab.feed("payshack").ok
    assert store.current(access) is not None
    lab.assert_complete("payshack")


def test_another_cipher_key_is_told_and_nothing_unreadable_is_kept(lab: Lab) -> None:
    lab.tell("payshack", fault="wrong_key", times=2, after=6)
    first = lab.feed("payshack")
    assert "cannot be opened" in first.told
    assert "PAYSHACK_RESPONSE_SECRET" in first.told
    lab.heal("payshack")
    assert lab.feed("payshack").ok
    lab.assert_complete("payshack")


def test_where_plain_http_is_refused_the_portals_page_asks(lab: Lab) -> None:
    """With the kept session: no login is spent on it."""
    assert lab.feed("payshack").ok
    token = SessionStore(lab.settings).current(payshack_access(lab.settings))
    lab.tell("payshack", fault="robots")
    access = payshack_access(lab.settings)
    assert httpx.get(f"{access.api_url}/indigate-core-svc/api/v1/client/fetch-all-client").status_code == 403
    outcome = lab.feed("payshack")
    assert outcome.ok, outcome.told
    assert SessionStore(lab.settings).current(access) == token
    lab.assert_complete("payshack")
