"""The log of events as Python sees it: read a break, append events to it, walk its history.

Every writer first takes the end of the one chain (`begin`), reads, decides, appends, commits: two people at once are
one after the other, and the second sees what the first has done. Amounts are Decimal in major units, times aware UTC.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from pipelines.breaks.errors import StaleBreak, UnknownBreak
from pipelines.core.errors import DatabaseError

OPEN_STATES = frozenset({"open", "acknowledged", "pending_provider", "reopened"})
DECIDED_STATES = frozenset({"explained", "force_matched", "written_off", "excluded_test"})
STATES = (*sorted(OPEN_STATES), "auto_resolved", *sorted(DECIDED_STATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One break as its events leave it. `exposure` is in `currency`; `proposal` waits for a second person.

    `reconciliation_id` names what it is about: a row of reconciliation, or a movement or line of the bank.
    """

    break_id: str
    reconciliation_id: str
    flow: str
    project: str
    currency: str | None
    order_key: str | None
    outcome: str | None
    reason: str | None
    reasons: list[str]
    reason_family: str | None
    severity: str | None
    state: str
    owner: str | None
    opened_at: datetime
    reopened_at: datetime | None
    closed_at: datetime | None
    close_cause: str | None
    exposure: Decimal
    exposure_side: str | None
    vima_transaction_id: str | None
    payshack_transaction_id: str | None
    vima_amount: Decimal | None
    payshack_amount: Decimal | None
    is_lapsed: bool
    decision: str | None
    decided_by: str | None
    decision_event_number: int | None
    proposal: str | None
    proposed_by: str | None
    proposal_event_number: int | None
    partner_break_id: str | None
    last_event_number: int
    last_event_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether somebody has to work on it."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a break, as it was written."""

    break_id: str
    event_number: int
    at: datetime
    actor: str
    action: str
    from_state: str | None
    to_state: str
    cause: str | None
    text: str | None
    owner: str | None
    proposal: str | None
    lateness_seconds: int | None
    linked_break_id: str | None
    linked_event_number: int | None
    evidence_hash: str | None
    rule_version: str | None
    event_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """What a person does to one break, before it has a number."""

    action: str
    to_state: str
    cause: str | None = None
    text: str | None = None
    owner: str | None = None
    linked_break_id: str | None = None
    linked_event_number: int | None = None
    proposal: str | None = None


@contextmanager
def explained_failures() -> Any:
    """Turns a database without the log, or without its models, into a DatabaseError that says so."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
        raise DatabaseError("There is no log of breaks yet.", fix="run `psp sync all`, or `psp up`") from None


def begin(connection: psycopg.Connection[Any]) -> None:
    """Take the chain until the transaction ends. Call it before reading what is going to be changed."""
    connection.execute("select breaks.begin_append()")


def read_break(connection: psycopg.Connection[Any], break_id: str) -> Break:
    """The break as it stands. Raises UnknownBreak."""
    names = ", ".join(field.name for field in fields(Break))
    with connection.cursor(row_factory=class_row(Break)) as cursor:
        cursor.execute(f"select {names} from breaks.state where break_id = %s".encode(), (break_id,))  # noqa: S608
        found = cursor.fetchone()
    if found is None:
        raise UnknownBreak(f"There is no break {break_id}.", fix="`psp breaks list` shows those that are open")
    return found


def read_events(connection: psycopg.Connection[Any], break_id: str) -> list[Event]:
    """Everything that happened to the break, oldest first; empty when there is no such break."""
    names = ", ".join(field.name for field in fields(Event))
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        cursor.execute(
            f"select {names} from breaks.events where break_id = %s order by event_number".encode(),  # noqa: S608
            (break_id,),
        )
        return cursor.fetchall()


def require_newest(found: Break, expected_event_number: int) -> None:
    """Raises StaleBreak unless the writer knows the newest event of the break."""
    if found.last_event_number != expected_event_number:
        raise StaleBreak(
            f"Break {found.break_id} has moved on: its newest event is {found.last_event_number}"
            f" ({found.state}), not {expected_event_number}.",
            fix="look at it again, then decide again",
        )


def append(
    connection: psycopg.Connection[Any], wanted: Sequence[tuple[Break, NewEvent]], *, actor: str, at: datetime
) -> None:
    """Append one event to each of the breaks, which were read in this transaction after `begin`."""
    for known, event in wanted:
        connection.execute(
            "insert into breaks.wanted_events (break_id, step, expected_event_number, at, actor, action, from_state,"
            " to_state, cause, text, owner, linked_break_id, linked_event_number, proposal)"
            " values (%s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(known.break_id, known.last_event_number, at, actor, event.action, known.state, event.to_state),
                *(event.cause, event.text, event.owner, event.linked_break_id, event.linked_event_number),
                event.proposal,
            ),
        )
    connection.execute("select breaks.append_wanted()")
