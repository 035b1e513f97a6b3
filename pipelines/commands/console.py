"""How `psp` talks: results on stdout, progress and errors on stderr, one `error:` line and one `fix:` line.

A person at a terminal sees spinners and colours; a file or a pipe gets plain lines.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.core.errors import PlatformError
from pipelines.core.redaction import redact

PIPE_WIDTH = 200

_MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}


class Step:
    """One line of progress. `note` shows what is going on, `done` is what stays on the screen."""

    def __init__(self, title: str, console: Console, status: Any) -> None:
        self._title, self._console, self._status = title, console, status
        self._state, self._text, self._began = "ok", title, time.monotonic()

    def note(self, text: str) -> None:
        """What is being done now; seen at a terminal only."""
        if self._status is not None:
            self._status.update(f"{escape(self._title)} [dim]{escape(text)}[/]")

    def done(self, text: str) -> None:
        """The line that stays."""
        self._text = text

    def warn(self, text: str) -> None:
        """The line that stays, marked as a warning."""
        self._state, self._text = "warn", text

    def failed(self) -> None:
        """The step did not succeed; the error itself is told by whoever catches it."""
        self._state = "fail"

    def show(self) -> None:
        """Write the line that stays, with the seconds it took."""
        seconds = time.monotonic() - self._began
        self._console.print(f"  {_MARKS[self._state]} {escape(self._text)} [dim]{seconds:.1f} s[/]")


class Screen:
    """The two streams of one command."""

    def __init__(self) -> None:
        # A pipe has no width: tables are written in full there.
        self.out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, markup: str = "") -> None:
        """A line for people, on stderr; may hold rich markup."""
        self.err.print(markup)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A piece of work with a name: a spinner while it lasts, one line when it is over."""
        if not self.err.is_terminal:
            step = Step(title, self.err, None)
            yield from self._carry(step)
            return
        with self.err.status(escape(title)) as status:
            step = Step(title, self.err, status)
            yield from self._carry(step)

    @staticmethod
    def _carry(step: Step) -> Iterator[Step]:
        try:
            yield step
        except BaseException:
            step.failed()
            step.show()
            raise
        step.show()

    def table(self, table: Table) -> None:
        """A table, on stdout."""
        self.out.print(table)

    def json(self, value: object) -> None:
        """One JSON document on stdout; amounts as strings, so that no reader makes floats of them."""
        self.out.file.write(json.dumps(value, indent=2, default=_plain) + "\n")

    def error(self, error: PlatformError) -> None:
        """What went wrong and what to do, as two lines on stderr."""
        self.err.print(f"[bold red]error:[/] {escape(_one_line(error.message))}")
        if error.fix:
            self.err.print(f"[bold]fix:[/] {escape(_one_line(error.fix))}")


def _one_line(text: str) -> str:
    return " ".join(redact(text).split())


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    isoformat = getattr(value, "isoformat", None)
    if isoformat is None:
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return str(isoformat())


def is_interactive() -> bool:
    """Whether a person sits before it."""
    return sys.stdin.isatty() and sys.stderr.isatty()
