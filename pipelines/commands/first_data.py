"""The parent's side of the first load: starts it, follows its phases, shows its progress, judges how it ended."""

import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from pipelines.commands.console import Step
from pipelines.commands.health import count_raw_rows, count_transactions
from pipelines.commands.processes import Child, stop_children
from pipelines.commands.supervisor import Supervisor
from pipelines.core import errors
from pipelines.core.errors import PlatformError, SourceUnavailable
from pipelines.core.settings import Settings

POLL_SECONDS = 0.25
START_SECONDS = 180.0


class FirstLoad:
    """The child process that runs `first_load_job`."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], *, mark: str) -> None:
        self._child = Child(
            "first-load",
            ("pipelines.commands.first_load",),
            mark=mark,
            environment=environment,
            log=settings.psp_home / "logs" / "first-load.log",
        )
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._phases: set[str] = set()

    def start(self) -> None:
        """Start it; it prepares itself and then waits for `run`."""
        self._child.start(talks=True)
        reader = threading.Thread(target=_read, args=(self._child.process.stdout, self._messages), daemon=True)
        reader.start()

    def await_phase(self, phase: str, supervisor: Supervisor, step: Step) -> None:
        """Wait until it has come that far. Raises the PlatformError that stopped it."""
        deadline = time.monotonic() + START_SECONDS
        while phase not in self._phases:
            message = self._next(supervisor)
            if message is not None and "ok" in message:
                raise _told(message)
            if time.monotonic() > deadline:
                raise PlatformError(f"Dagster's definitions are not loaded after {START_SECONDS:.0f} s.", fix=self._see)
            step.note("loading" if self._phases else "starting")

    def run(self, url: str, supervisor: Supervisor, step: Step) -> None:
        """Let it load, and wait for the marts.

        A provider that is silent ends a first start, but not a later one: the marts of before are there, and the
        sensors try again. Every other failure needs a person, and is raised.
        """
        stdin = self._child.process.stdin
        if stdin is None:
            raise RuntimeError("the first load was started without a way to talk to it")
        before = count_raw_rows(url)
        stdin.write("go\n")
        stdin.flush()
        while True:
            message = self._next(supervisor)
            if message is None or "ok" not in message:
                step.note(f"{max(count_raw_rows(url) - before, 0):,} new rows")
                continue
            if message["ok"]:
                rows = count_transactions(url)
                step.done(f"First load: {rows or 0:,} transactions in the marts, reconciled")
                return
            error = _told(message)
            if isinstance(error, SourceUnavailable) and count_transactions(url):
                step.warn(f"First load: {error.message} The sensors try again; the marts are those of before.")
                return
            raise error

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._child.is_started:
            stop_children([self._child])

    @property
    def _see(self) -> str:
        return f"see {self._child.log}"

    def _next(self, supervisor: Supervisor) -> dict[str, Any] | None:
        """The next message within a moment. Raises PlatformError when it, or a service, has died without a word."""
        supervisor.require_alive()
        try:
            message = self._messages.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if self._child.exit_code is not None and self._messages.empty():
                said = self._child.last_line()
                raise PlatformError(f"The first load ended without a word. {said}".strip(), fix=self._see) from None
            return None
        if "phase" in message:
            self._phases.add(str(message["phase"]))
        return message


def _told(message: Mapping[str, Any]) -> PlatformError:
    """The error as it was in the child, of the same kind."""
    kind = getattr(errors, str(message.get("kind")), PlatformError)
    made: PlatformError = kind(str(message.get("error")), fix=str(message.get("fix", "")))
    return made


def _read(stream: IO[str] | None, messages: "queue.Queue[dict[str, Any]]") -> None:
    for line in stream or ():
        try:
            message = json.loads(line)
        except ValueError:
            continue  # a library that prints
        if isinstance(message, dict):
            messages.put(message)
