"""What people may do to a break, on the real log: every action, who may take it, and what two at once end in."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from pipelines.breaks import actions
from pipelines.breaks.bulk import BULK_LIMIT, Target, each
from pipelines.breaks.errors import ActionRefused, SecondPersonNeeded, StaleBreak, UnknownBreak
from pipelines.breaks.ledger import Break, read_break, read_events
from pipelines.breaks.verification import verify
from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import connect
from tests.integration.breaks.events import AT, evaluation, lacks_vima, lay_seeds, system_event

Connection = psycopg.Connection[Any]
LATER = AT + timedelta(minutes=5)


@pytest.fixture
def operator(warehouse: str) -> Iterator[Connection]:
    """A person's connection to a log with some open breaks."""
    lay_seeds(warehouse)
    with connect(warehouse, role="psp_operator", autocommit=True) as connection:
        for name in ("a-1", "b-1", "c-1"):
            system_event(connection, name, "opened", "open", evaluation(name))
        system_event(connection, "mirror-1", "opened", "open", lacks_vima("mirror-1"))
        system_event(connection, "large-1", "opened", "open", evaluation("large-1", exposure=50_000))
        yield connection


def newest(connection: Connection, break_id: str) -> dict[str, Any]:
    """The arguments that every action takes, with the newest event as it is now."""
    number = read_break(connection, break_id).last_event_number
    return {"break_id": break_id, "expected_event_number": number, "actor": "asha", "at": LATER}


def test_a_break_goes_through_its_hands(operator: Connection) -> None:
    found = actions.assign(operator, **newest(operator, "a-1"), owner="ravi")
    assert (found.state, found.owner) == ("open", "ravi")
    found = actions.acknowledge(operator, **newest(operator, "a-1"))
    assert (found.state, found.owner) == ("acknowledged", "asha")
    found = actions.ask_provider(operator, **newest(operator, "a-1"), text="ticket 4711")
    assert (found.state, found.owner) == ("pending_provider", "asha")
    found = actions.comment(operator, **newest(operator, "a-1"), text="no answer yet")
    assert found.state == "pending_provider"
    found = actions.explain(operator, **newest(operator, "a-1"), reason_code="refund_outside_vima", text="by hand")
    assert (found.state, found.close_cause, found.closed_at) == ("explained", "refund_outside_vima", LATER)
    assert (found.decision, found.decision_event_number) == ("explained", 6)
    found = actions.comment(operator, **newest(operator, "a-1"), text="receipt in the folder")
    assert (found.state, found.closed_at) == ("explained", LATER)
    found = actions.reopen(operator, **newest(operator, "a-1"), text="the receipt is of another order")
    assert (found.state, found.closed_at, found.reopened_at) == ("reopened", None, LATER)
    assert (found.decision, found.decision_event_number) == ("explained", 6)
    assert read_events(operator, "a-1")[-1].linked_event_number == 6
    found = actions.exclude_test(operator, **newest(operator, "a-1"), text="our own phone")
    assert (found.state, found.close_cause) == ("excluded_test", "test_order")
    assert [event.event_number for event in read_events(operator, "a-1")] == list(range(1, 10))


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (
            lambda c, known: actions.explain(c, **known, reason_code="uncollectable", text="x"),
            "no reason code of explain",
        ),
        (lambda c, known: actions.explain(c, **known, reason_code="other", text="  "), "a text that says why"),
        (lambda c, known: actions.comment(c, **known, text="x" * 4001), "a text that says why"),
        (lambda c, known: actions.comment(c, **known | {"actor": "System"}, text="x"), "the name of a person"),
        (lambda c, known: actions.assign(c, **known, owner=" "), "the name of a person"),
        (lambda c, known: actions.reopen(c, **known, text="x"), "this action starts from auto_resolved"),
        (lambda c, known: actions.approve(c, **known), "Nothing is proposed"),
        (lambda c, known: actions.reject(c, **known, text="x"), "Nothing is proposed"),
    ],
)
def test_what_is_not_allowed_writes_nothing(operator: Connection, act: Callable[..., Break], reason: str) -> None:
    with pytest.raises(ActionRefused) as refused:
        act(operator, newest(operator, "a-1"))
    assert reason in refused.value.message
    assert refused.value.fix
    assert len(read_events(operator, "a-1")) == 1


def test_closed_breaks_are_worked_by_reopening_alone(operator: Connection) -> None:
    actions.explain(operator, **newest(operator, "a-1"), reason_code="other", text="x")
    for act in (
        actions.acknowledge,
        lambda c, **known: actions.write_off(c, **known, reason_code="goodwill", text="x"),
    ):
        with pytest.raises(ActionRefused, match="is explained"):
            act(operator, **newest(operator, "a-1"))
    with pytest.raises(UnknownBreak):
        actions.comment(operator, **newest(operator, "a-1") | {"break_id": "nobody-1"}, text="x")


def test_a_small_loss_is_one_persons_and_a_large_one_two(operator: Connection) -> None:
    small = actions.write_off(operator, **newest(operator, "a-1"), reason_code="goodwill", text="gone")
    assert (small.state, small.proposal) == ("written_off", None)
    proposed = actions.write_off(operator, **newest(operator, "large-1"), reason_code="uncollectable", text="gone")
    assert (proposed.state, proposed.proposal, proposed.proposed_by) == ("open", "write_off", "asha")
    # Talk leaves the proposal where it is.
    actions.comment(operator, **newest(operator, "large-1"), text="please look")
    for same in ("asha", " ASHA "):
        with pytest.raises(SecondPersonNeeded):
            actions.approve(operator, **newest(operator, "large-1") | {"actor": same})
    approved = actions.approve(operator, **newest(operator, "large-1") | {"actor": "ravi"}, text="agreed")
    assert (approved.state, approved.proposal, approved.decided_by) == ("written_off", None, "ravi")
    event = read_events(operator, "large-1")[-1]
    assert (event.cause, event.text, event.linked_event_number) == ("uncollectable", "gone\nagreed", 2)


def test_a_currency_without_threshold_always_needs_two(operator: Connection) -> None:
    system_event(operator, "eur-1", "opened", "open", evaluation("eur-1", currency="EUR", exposure="0.01"))
    found = actions.write_off(operator, **newest(operator, "eur-1"), reason_code="goodwill", text="x")
    assert (found.state, found.proposal) == ("open", "write_off")


def test_a_proposal_falls_with_a_rejection_or_with_new_data(operator: Connection) -> None:
    propose = {"reason_code": "uncollectable", "text": "gone"}
    actions.write_off(operator, **newest(operator, "large-1"), **propose)
    found = actions.reject(operator, **newest(operator, "large-1"), text="mine, taken back")
    assert (found.state, found.proposal) == ("open", None)
    actions.write_off(operator, **newest(operator, "large-1"), **propose)
    system_event(operator, "large-1", "changed", "open", evaluation("large-1", exposure=60_000), evidence="e2")
    with pytest.raises(ActionRefused, match="Nothing is proposed"):
        actions.approve(operator, **newest(operator, "large-1") | {"actor": "ravi"})


def match(connection: Connection, one: str, other: str, **changes: Any) -> Break:
    """Force a match between the newest of both."""
    number = read_break(connection, other).last_event_number
    named = {"reason_code": "same_payment", "text": "typed twice", "partner_break_id": other}
    known = newest(connection, one) | named | {"partner_expected_event_number": number}
    return actions.force_match(connection, **known | changes)


def test_a_forced_match_closes_and_reopens_both_halves(operator: Connection) -> None:
    found = match(operator, "a-1", "mirror-1")
    assert (found.state, found.partner_break_id) == ("force_matched", "mirror-1")
    other = read_break(operator, "mirror-1")
    assert (other.state, other.partner_break_id, other.close_cause) == ("force_matched", "a-1", "same_payment")
    actions.reopen(operator, **newest(operator, "mirror-1"), text="it was not")
    assert [read_break(operator, name).state for name in ("a-1", "mirror-1")] == ["reopened", "reopened"]


def test_only_halves_of_one_payment_are_matched(operator: Connection) -> None:
    for name, changes in (
        ("less-1", {"payshack_amount": 499}),
        ("out-1", {"flow": "payout"}),
        ("eur-1", {"currency": "EUR"}),
    ):
        system_event(operator, name, "opened", "open", lacks_vima(name, **changes))
        with pytest.raises(ActionRefused, match="differ in flow, currency or amount"):
            match(operator, "a-1", name)
    # A payment that the bank has not got lacks Vima too, and is no half of another one.
    system_event(
        operator, "bank-1", "opened", "open", lacks_vima("bank-1", reason_family="bank", reason="missing_bank")
    )
    with pytest.raises(ActionRefused, match="not what the bank does"):
        match(operator, "a-1", "bank-1")
    with pytest.raises(ActionRefused, match="joins one break that lacks Vima"):
        match(operator, "a-1", "b-1")
    with pytest.raises(ActionRefused, match="with itself"):
        match(operator, "a-1", "a-1")
    with pytest.raises(StaleBreak):
        match(operator, "a-1", "mirror-1", partner_expected_event_number=0)
    actions.explain(operator, **newest(operator, "mirror-1"), reason_code="other", text="x")
    with pytest.raises(ActionRefused, match="is explained"):
        match(operator, "a-1", "mirror-1")


def test_a_large_forced_match_waits_for_a_second_person(operator: Connection) -> None:
    changes = {"exposure": 20_000, "vima_amount": 20_000}
    system_event(operator, "v-1", "opened", "open", evaluation("v-1", **changes))
    system_event(operator, "p-1", "opened", "open", lacks_vima("p-1", exposure=20_000, payshack_amount=20_000))
    assert match(operator, "v-1", "p-1").proposal == "force_match"
    assert read_break(operator, "p-1").state == "open"
    actions.approve(operator, **newest(operator, "v-1") | {"actor": "ravi"})
    assert [read_break(operator, name).state for name in ("v-1", "p-1")] == ["force_matched", "force_matched"]


def test_of_two_people_at_once_the_second_is_refused(operator: Connection, warehouse: str) -> None:
    seen = newest(operator, "a-1")
    gate, outcomes = threading.Barrier(6), list[str]()

    def act(name: str) -> None:
        with connect(warehouse, role="psp_operator", autocommit=True) as connection:
            gate.wait(timeout=60)
            try:
                actions.explain(connection, **seen | {"actor": name}, reason_code="other", text=name)
                outcomes.append("done")
            except StaleBreak:
                outcomes.append("stale")

    people = [threading.Thread(target=act, args=(f"person {number}",)) for number in range(6)]
    for person in people:
        person.start()
    for person in people:
        person.join(timeout=120)
    assert sorted(outcomes) == ["done", *["stale"] * 5]
    assert len(read_events(operator, "a-1")) == 2
    assert verify(operator).ok


def test_bulk_says_of_each_row_what_became_of_it(operator: Connection) -> None:
    actions.explain(operator, **newest(operator, "b-1"), reason_code="other", text="x")
    targets = [
        Target(break_id="a-1", expected_event_number=1),
        Target(break_id="b-1", expected_event_number=1),
        Target(break_id="nobody-1", expected_event_number=1),
        Target(break_id="large-1", expected_event_number=1),
        Target(break_id="b-1x", expected_event_number=1),
        Target(break_id="c-1", expected_event_number=1),
    ]

    def act(target: Target) -> Break:
        known = {"break_id": target.break_id, "expected_event_number": target.expected_event_number}
        return actions.write_off(operator, **known, reason_code="goodwill", text="x", actor="asha", at=LATER)

    results = each(targets, act)
    assert [result.break_id for result in results] == [target.break_id for target in targets]
    assert [result.kind for result in results] == [None, "StaleBreak", "UnknownBreak", None, "UnknownBreak", None]
    assert [result.found.state if result.found else None for result in results] == [
        *("written_off", None, None, "open", None, "written_off")
    ]
    assert all(result.fix for result in results if not result.ok)
    with pytest.raises(ActionRefused, match="named twice"):
        each([targets[0], targets[0]], act)
    with pytest.raises(ActionRefused, match="too many"):
        each([Target(break_id=f"x{number}-1", expected_event_number=1) for number in range(BULK_LIMIT + 1)], act)


def test_an_action_nests_in_a_transaction_of_its_caller(operator: Connection) -> None:
    with operator.transaction(force_rollback=True):
        assert actions.acknowledge(operator, **newest(operator, "a-1")).state == "acknowledged"
    assert read_break(operator, "a-1").state == "open"
    assert verify(operator).ok


def test_nobody_speaks_for_the_system_nor_changes_what_was_said(operator: Connection) -> None:
    forged = (
        "with wanted as (insert into breaks.wanted_events"
        " (break_id, step, expected_event_number, at, actor, action, from_state, to_state)"
        " values ('a-1', 1, 1, now(), 'system', 'resolved', 'open', 'auto_resolved') returning 1)"
        " select * from wanted; select breaks.append_wanted()"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="speak for the system"):
        operator.execute(forged)
    for statement in (
        "update breaks.events set actor = 'nobody'",
        "delete from breaks.events",
        "insert into breaks.events select * from breaks.events",
        "update breaks.state set state = 'explained'",
        "update breaks.head set last_sequence = 0",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            operator.execute(statement)
    operator.execute("set role none")
    for statement in (
        "update breaks.events set actor = 'nobody'",
        "delete from breaks.events",
        "truncate breaks.events",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"):
            operator.execute(statement)


def test_without_a_log_the_message_says_what_to_do(server_url: str) -> None:
    with connect(server_url, autocommit=True) as connection, pytest.raises(DatabaseError, match="no log of breaks"):
        actions.comment(connection, "a-1", text="x", actor="asha", expected_event_number=1, at=LATER)
