"""The gate: scopes, pace, and tickets that open one door once."""

from pathlib import Path

import pytest

from pipelines.core.settings import load_settings
from pipelines.sidecar.auth import BURST, REQUESTS_PER_SECOND, TICKET_SECONDS, Gate, bearer_of
from pipelines.sidecar.errors import Forbidden, TooManyRequests, Unauthorized
from pipelines.sidecar.keys import KeyRing, create_key, revoke_key


class Door:
    """A gate with one key `reader` and a clock that the test moves."""

    def __init__(self, home: Path) -> None:
        self.settings = load_settings({"PSP_HOME": str(home)})
        self.key = create_key(self.settings, name="reader", scopes=["read"])
        self.seconds = 100.0
        self.gate = Gate(KeyRing(self.settings), monotonic=lambda: self.seconds)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_missing_key_is_told_how_to_be_sent(door: Door) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        door.gate.admit(None, "read")


def test_a_missing_scope_is_named(door: Door) -> None:
    with pytest.raises(Forbidden, match="reader lacks the scope export"):
        door.gate.admit(door.key, "export")


def test_a_key_that_asks_too_fast_waits_and_others_do_not(door: Door) -> None:
    other = create_key(door.settings, name="other", scopes=["read"])
    for _ in range(BURST):
        door.gate.admit(door.key, "read")

    with pytest.raises(TooManyRequests) as refused:
        door.gate.admit(door.key, "read")

    assert refused.value.headers["Retry-After"] == "1"
    assert door.gate.admit(other, "read").name == "other"
    door.seconds += 1
    for _ in range(REQUESTS_PER_SECOND):
        door.gate.admit(door.key, "read")


def test_a_ticket_is_good_once(door: Door) -> None:
    ticket = door.gate.issue_ticket(door.gate.admit(door.key, "read"))

    assert door.gate.redeem(ticket).name == "reader"
    with pytest.raises(Unauthorized, match="unknown, used or too old"):
        door.gate.redeem(ticket)


def test_a_ticket_grows_old(door: Door) -> None:
    ticket = door.gate.issue_ticket(door.gate.admit(door.key, "read"))
    door.seconds += TICKET_SECONDS

    with pytest.raises(Unauthorized):
        door.gate.redeem(ticket)


def test_a_ticket_dies_with_its_key(door: Door) -> None:
    ticket = door.gate.issue_ticket(door.gate.admit(door.key, "read"))
    revoke_key(door.settings, "reader")

    with pytest.raises(Unauthorized):
        door.gate.redeem(ticket)


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer abc", "abc"), ("bearer abc ", "abc"), ("Basic abc", None), ("Bearer ", None), ("abc", None)],
)
def test_only_a_bearer_header_holds_a_key(header: str, key: str | None) -> None:
    assert bearer_of([("Accept", "x"), ("authorization", header)]) == key
