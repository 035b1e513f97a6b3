"""What an action needs: states that it may start from, words, reason codes, and a second person above a threshold.

reference.break_explanations   reason code -> the action that it belongs to
reference.break_approvals      action, currency -> greatest exposure that one person may decide alone
"""

from collections.abc import Collection
from typing import Any

import psycopg

from pipelines.breaks.errors import ActionRefused, SecondPersonNeeded
from pipelines.breaks.ledger import OPEN_STATES, STATES, Break

SYSTEM = "system"
TEXT_LIMIT = 4000
NAME_LIMIT = 200


def person(name: str) -> str:
    """The name of whoever acts, tidied. Raises ActionRefused when it is none, or the system's own."""
    tidied = " ".join(name.split())
    if not tidied or len(tidied) > NAME_LIMIT or tidied.casefold() == SYSTEM:
        raise ActionRefused(
            "An action needs the name of a person.", fix=f"give a name of 1 to {NAME_LIMIT} letters, not `{SYSTEM}`"
        )
    return tidied


def words(text: str) -> str:
    """What was written, trimmed. Raises ActionRefused when it is nothing or a book."""
    tidied = text.strip()
    if not tidied or len(tidied) > TEXT_LIMIT:
        raise ActionRefused(
            "This action needs a text that says why.", fix=f"write 1 to {TEXT_LIMIT} characters; a link is fine"
        )
    # PostgreSQL's text can not hold it, and nobody has meant to write it.
    return tidied.replace("\x00", "")


def require_open(found: Break) -> None:
    """Raises ActionRefused unless the break is open."""
    require_state(found, OPEN_STATES)


def require_state(found: Break, allowed: Collection[str]) -> None:
    """Raises ActionRefused unless the break is in one of the states."""
    if found.state not in allowed:
        names = ", ".join(state for state in STATES if state in allowed)
        raise ActionRefused(
            f"Break {found.break_id} is {found.state}; this action starts from {names}.",
            fix="reopen it first" if not found.is_open else "look at it with `psp breaks show`",
        )


def require_code(connection: psycopg.Connection[Any], action: str, reason_code: str) -> str:
    """The reason code, when it is one of the action's. Raises ActionRefused naming those that are."""
    rows = connection.execute(
        "select reason_code from reference.break_explanations where action = %s order by reason_code", (action,)
    ).fetchall()
    codes = [str(row[0]) for row in rows]
    if reason_code not in codes:
        raise ActionRefused(
            f"{reason_code or 'Nothing'} is no reason code of {action}.", fix=f"use one of {', '.join(codes)}"
        )
    return reason_code


def needs_second_person(connection: psycopg.Connection[Any], action: str, found: Break) -> bool:
    """Whether the exposure is above what one person may decide; always so in a currency without a threshold."""
    if found.exposure == 0:
        return False
    row = connection.execute(
        "select threshold from reference.break_approvals where action = %s and currency = %s",
        (action, found.currency),
    ).fetchone()
    return row is None or found.exposure > row[0]


def require_other_person(found: Break, actor: str) -> None:
    """Raises SecondPersonNeeded when the actor is the one who proposed it."""
    if (found.proposed_by or "").casefold() == actor.casefold():
        raise SecondPersonNeeded(
            f"{actor} has proposed this and may not approve it.", fix="let somebody else look at it and approve it"
        )


def require_counterpart(found: Break, partner: Break) -> None:
    """Raises ActionRefused unless both are halves of one payment: one per side, same flow, currency and amount."""
    if "bank" in (found.reason_family, partner.reason_family):
        raise ActionRefused(
            "A forced match joins what Vima and PayShack say, not what the bank does.",
            fix="explain what the bank has under another reference: `--code settled_by_bank`, both breaks at once",
        )
    sides = {
        (found.vima_transaction_id is None, found.payshack_transaction_id is None),
        (partner.vima_transaction_id is None, partner.payshack_transaction_id is None),
    }
    if sides != {(True, False), (False, True)}:
        raise ActionRefused(
            "A forced match joins one break that lacks Vima with one that lacks PayShack.",
            fix="explain breaks that have both sides",
        )
    amounts = {amount for one in (found, partner) for amount in (one.vima_amount, one.payshack_amount)} - {None}
    if (found.flow, found.currency) != (partner.flow, partner.currency) or len(amounts) != 1:
        raise ActionRefused(
            "The two breaks differ in flow, currency or amount.",
            fix="match what is equal; explain or write off the difference",
        )
