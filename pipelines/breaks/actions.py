"""What a person may do to a break: one function each, one event each, in one transaction.

    open, reopened -> acknowledged -> pending_provider -> explained | force_matched | written_off | excluded_test
    closed -> reopened                (also by itself, when new data contradict the decision)

Every function names the newest event that its caller has seen; when the break has moved on meanwhile nothing is written
(StaleBreak). `at` is the platform's clock. They commit by themselves, or nest in a transaction of the caller.
Each raises UnknownBreak, StaleBreak, ActionRefused; DatabaseError when there is no log yet.
"""

from datetime import datetime
from typing import Any

import psycopg

from pipelines.breaks import rules
from pipelines.breaks.errors import ActionRefused
from pipelines.breaks.ledger import (
    DECIDED_STATES,
    OPEN_STATES,
    Break,
    NewEvent,
    read_break,
    require_newest,
)
from pipelines.breaks.turn import turn_of

Connection = psycopg.Connection[Any]

# Action as people call it -> what the event is called, and the state that it leads to.
WRITE_OFF, FORCE_MATCH = "write_off", "force_match"
CLOSINGS = {
    "explain": ("explained", "explained"),
    "exclude_test": ("test_excluded", "excluded_test"),
    WRITE_OFF: ("written_off", "written_off"),
    FORCE_MATCH: ("force_matched", "force_matched"),
}


def acknowledge(
    connection: Connection, break_id: str, *, actor: str, expected_event_number: int, at: datetime, text: str = ""
) -> Break:
    """Take the break on: the actor becomes its owner."""
    actor = rules.person(actor)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        rules.require_open(turn.found)
        event = NewEvent(action="acknowledged", to_state="acknowledged", owner=actor, text=text.strip() or None)
        return turn.write(event)


def assign(
    connection: Connection,
    break_id: str,
    *,
    owner: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
    text: str = "",
) -> Break:
    """Give the break to somebody; its state stays."""
    actor, owner = rules.person(actor), rules.person(owner)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        rules.require_open(turn.found)
        event = NewEvent(action="assigned", to_state=turn.found.state, owner=owner, text=text.strip() or None)
        return turn.write(event)


def comment(
    connection: Connection, break_id: str, *, text: str, actor: str, expected_event_number: int, at: datetime
) -> Break:
    """Write something down; open or closed, its state stays."""
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        event = NewEvent(action="commented", to_state=turn.found.state, text=text)
        return turn.write(event)


def ask_provider(
    connection: Connection, break_id: str, *, text: str, actor: str, expected_event_number: int, at: datetime
) -> Break:
    """A provider was asked and owes the answer; the text says what was asked, and where."""
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        rules.require_open(turn.found)
        event = NewEvent(action="provider_asked", to_state="pending_provider", text=text)
        return turn.write(event)


def explain(
    connection: Connection,
    break_id: str,
    *,
    reason_code: str,
    text: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
) -> Break:
    """Close it with an accepted cause: the disagreement stays, the value is no longer at risk."""
    return _close(connection, break_id, "explain", reason_code, text, actor, expected_event_number, at)


def exclude_test(
    connection: Connection,
    break_id: str,
    *,
    text: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
    reason_code: str = "test_order",
) -> Break:
    """Close it because the order was a test of our own."""
    return _close(connection, break_id, "exclude_test", reason_code, text, actor, expected_event_number, at)


def write_off(
    connection: Connection,
    break_id: str,
    *,
    reason_code: str,
    text: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
) -> Break:
    """Close it as a loss. Above the threshold it is only proposed: `proposal` is set and the state stays."""
    return _close(connection, break_id, WRITE_OFF, reason_code, text, actor, expected_event_number, at)


def force_match(
    connection: Connection,
    break_id: str,
    *,
    reason_code: str,
    text: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
    partner_break_id: str,
    partner_expected_event_number: int,
) -> Break:
    """Close two one-sided breaks as one payment. Above the threshold it is only proposed. Both are of equal amount."""
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        partner = read_break(connection, partner_break_id)
        require_newest(partner, partner_expected_event_number)
        _require_match(turn.found, partner)
        rules.require_code(connection, FORCE_MATCH, reason_code)
        if rules.needs_second_person(connection, FORCE_MATCH, turn.found):
            event = _proposal(turn.found, FORCE_MATCH, reason_code, text, partner)
            return turn.write(event)
        return turn.write_all(_match(turn.found, partner, reason_code, text, None))


def approve(
    connection: Connection, break_id: str, *, actor: str, expected_event_number: int, at: datetime, text: str = ""
) -> Break:
    """Carry out what somebody else has proposed. Raises SecondPersonNeeded for the one who has proposed it."""
    actor = rules.person(actor)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        action, number = _pending(turn.found)
        rules.require_other_person(turn.found, actor)
        code, proposed_text, partner_id = _proposed(connection, break_id, number)
        said = "\n".join(part for part in (proposed_text, text.strip()) if part)
        if action == FORCE_MATCH:
            partner = read_break(connection, str(partner_id))
            _require_match(turn.found, partner)
            return turn.write_all(_match(turn.found, partner, code, said, number))
        name, state = CLOSINGS[action]
        return turn.write(NewEvent(action=name, to_state=state, cause=code, text=said, linked_event_number=number))


def reject(
    connection: Connection, break_id: str, *, text: str, actor: str, expected_event_number: int, at: datetime
) -> Break:
    """Refuse what was proposed, or take one's own proposal back; the break stays open."""
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        _, number = _pending(turn.found)
        event = NewEvent(action="rejected", to_state=turn.found.state, text=text, linked_event_number=number)
        return turn.write(event)


def reopen(
    connection: Connection, break_id: str, *, text: str, actor: str, expected_event_number: int, at: datetime
) -> Break:
    """Open a closed break again; of a forced match its other half as well."""
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        rules.require_state(turn.found, DECIDED_STATES | {"auto_resolved"})
        halves = [turn.found]
        if turn.found.state == "force_matched" and turn.found.partner_break_id:
            partner = read_break(connection, turn.found.partner_break_id)
            if partner.state == "force_matched" and partner.partner_break_id == break_id:
                halves.append(partner)
        events = [
            NewEvent(
                action="reopened",
                to_state="reopened",
                cause="by_hand",
                text=text,
                linked_event_number=half.decision_event_number if half.state in DECIDED_STATES else None,
            )
            for half in halves
        ]
        return turn.write_all(list(zip(halves, events, strict=True)))


def _close(
    connection: Connection,
    break_id: str,
    action: str,
    reason_code: str,
    text: str,
    actor: str,
    expected_event_number: int,
    at: datetime,
) -> Break:
    actor, text = rules.person(actor), rules.words(text)
    with turn_of(connection, break_id, expected_event_number, actor, at) as turn:
        rules.require_open(turn.found)
        rules.require_code(connection, action, reason_code)
        if action == WRITE_OFF and rules.needs_second_person(connection, action, turn.found):
            event = _proposal(turn.found, action, reason_code, text, None)
        else:
            name, state = CLOSINGS[action]
            event = NewEvent(action=name, to_state=state, cause=reason_code, text=text)
        return turn.write(event)


def _proposal(found: Break, action: str, reason_code: str, text: str, partner: Break | None) -> NewEvent:
    return NewEvent(
        action="proposed",
        to_state=found.state,
        cause=reason_code,
        text=text,
        proposal=action,
        linked_break_id=partner.break_id if partner else None,
    )


def _pending(found: Break) -> tuple[str, int]:
    if found.proposal is None or found.proposal_event_number is None:
        raise ActionRefused(
            f"Nothing is proposed for break {found.break_id}.",
            fix="a proposal falls when the break changes: look at it again, and propose again",
        )
    return found.proposal, found.proposal_event_number


def _proposed(connection: Connection, break_id: str, number: int) -> tuple[str, str, str | None]:
    row = connection.execute(
        "select cause, text, linked_break_id from breaks.events where break_id = %s and event_number = %s",
        (break_id, number),
    ).fetchone()
    if row is None:  # the state was read in this transaction, so the log has lost an event
        raise ActionRefused(f"The proposal of break {break_id} is not in the log.", fix="run `psp breaks verify`")
    return row[0], row[1], row[2]


def _require_match(found: Break, partner: Break) -> None:
    if found.break_id == partner.break_id:
        raise ActionRefused("A break can not be matched with itself.", fix="name the break of the other side")
    for one in (found, partner):
        rules.require_state(one, OPEN_STATES)
    rules.require_counterpart(found, partner)


def _match(
    found: Break, partner: Break, reason_code: str, text: str, proposal_number: int | None
) -> list[tuple[Break, NewEvent]]:
    name, state = CLOSINGS[FORCE_MATCH]
    halves = [(found, partner, proposal_number), (partner, found, None)]
    return [
        (
            one,
            NewEvent(
                action=name,
                to_state=state,
                cause=reason_code,
                text=text,
                linked_break_id=other.break_id,
                linked_event_number=number,
            ),
        )
        for one, other, number in halves
    ]
