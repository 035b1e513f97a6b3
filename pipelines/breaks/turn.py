"""One person's turn at the log: the break as it stands, and nobody else who writes until the turn has ended."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from pipelines.breaks.ledger import Break, NewEvent, append, begin, explained_failures, read_break, require_newest


@dataclass(frozen=True, slots=True)
class Turn:
    """The break as it stands, and who may write to the log."""

    connection: psycopg.Connection[Any]
    found: Break
    actor: str
    at: datetime

    def write(self, event: NewEvent) -> Break:
        """The break after the event."""
        return self.write_all([(self.found, event)])

    def write_all(self, events: Sequence[tuple[Break, NewEvent]]) -> Break:
        """The same, with events of other breaks beside it."""
        append(self.connection, events, actor=self.actor, at=self.at)
        return read_break(self.connection, self.found.break_id)


@contextmanager
def turn_of(
    connection: psycopg.Connection[Any], break_id: str, expected_event_number: int, actor: str, at: datetime
) -> Iterator[Turn]:
    """Commits at the end of the block. Raises UnknownBreak, StaleBreak; DatabaseError when there is no log yet."""
    with explained_failures(), connection.transaction():
        begin(connection)
        found = read_break(connection, break_id)
        require_newest(found, expected_event_number)
        yield Turn(connection, found, actor, at)
