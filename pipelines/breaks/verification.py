"""Whether the log of events is the one that was written: the chain computed again, outside of the database.

    breaks.events in their order -> SHA-256 of each, chained -> the head that is remembered
    breaks.folded (computed)     -> the same rows as breaks.state (kept)

A changed, inserted, moved or removed event breaks the chain from there on. Events cut off at the end together with the
head are only seen by somebody who remembers an earlier head: note `head` with each signed day and give it here again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from pipelines.breaks.ledger import explained_failures

FIRST_HASH = "0" * 64
NAMED_FINDINGS = 20
FETCHED = 5_000

EVENTS = """
select sequence, break_id, event_number, at, actor, action, from_state, to_state, cause, text, owner, evidence_hash,
    rule_version, lateness_seconds, linked_break_id, linked_event_number, proposal, evaluation::text,
    previous_hash, event_hash
from breaks.events
order by sequence
"""
KEPT_DIFFERS = """
select coalesce(kept.break_id, folded.break_id)
from breaks.state as kept
full join breaks.folded as folded on kept.break_id = folded.break_id
where kept is distinct from folded
limit 21
"""


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was found. `head` is `sequence:hash` of the newest event, to be remembered; findings are capped at 20."""

    events: int = 0
    head: str = f"0:{FIRST_HASH}"
    findings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings

    def found(self, what: str) -> None:
        """Note something that is wrong."""
        if len(self.findings) < NAMED_FINDINGS:
            self.findings.append(what)


def content(values: Sequence[Any]) -> str:
    """The text of an event that is hashed: each field as `length:value,`, an absent one as `-,`; times in UTC."""
    return "".join("-," if text is None else f"{len(text)}:{text}," for text in map(_text, values))


def event_hash(previous_hash: str, values: Sequence[Any]) -> str:
    """Hash of an event after the one before it."""
    return hashlib.sha256((previous_hash + content(values)).encode()).hexdigest()


def verify(connection: psycopg.Connection[Any], *, known_heads: Sequence[str] = ()) -> Verification:
    """Compute the chain again, and compare the kept states with the fold. Memory stays flat, whatever the length.

    `known_heads` are heads that somebody has remembered; each must still be in the chain.
    """
    report = Verification()
    missing = set(known_heads)
    is_outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with explained_failures(), connection.transaction():
        if is_outermost:
            # One picture of log, head and states, whoever appends meanwhile.
            connection.execute("set transaction isolation level repeatable read, read only")
        previous, expected = FIRST_HASH, 1
        for row in _rows(connection):
            sequence, break_id, number = row[:3]
            named = f"event {number} of break {break_id} (place {sequence})"
            if sequence != expected:
                report.found(f"{sequence - expected} events before {named} are gone")
            if row[18] != previous:
                report.found(f"{named} does not follow the event before it")
            if event_hash(row[18], row[:18]) != row[19]:
                report.found(f"{named} is not what was written")
            previous, expected = row[19], sequence + 1
            report.events += 1
            report.head = f"{sequence}:{previous}"
            missing.discard(report.head)
        head = connection.execute("select last_sequence, last_hash from breaks.head").fetchone()
        if head is None or report.head != f"{head[0]}:{head[1]}":
            report.found("the log does not end where it was last written")
        for known in sorted(missing - {f"0:{FIRST_HASH}"}):
            report.found(f"the head {known} is not in the chain")
        for (break_id,) in connection.execute(KEPT_DIFFERS).fetchall():
            report.found(f"the kept state of break {break_id} is not what its events say")
    return report


def _rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="break_events") as cursor:
        cursor.itersize = FETCHED
        cursor.execute(EVENTS)
        yield from cursor


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return None if value is None else str(value)
