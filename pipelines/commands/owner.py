"""Who runs the parts of one PSP_HOME: one `psp` at a time may start and stop them.

    PSP_HOME/run/owner.lock   flock, held as long as the owner lives, however it ends
    PSP_HOME/run/owner.json   who it is, the mark that its children carry, and what it has started (owner-only)

A record without a living owner is what a killed one left behind: whoever owns next ends the processes that carry its
mark. Nothing else is ever touched, whatever process number it has.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from pipelines.commands.processes import end_marked
from pipelines.core.errors import ConflictError, SettingsError
from pipelines.core.runtime import read_json, write_private_json
from pipelines.core.settings import Settings

UP = "psp up"
POLL_SECONDS = 0.3
SAME_PROCESS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRecord:
    """The living owner. `state` is what it says of itself: phase, addresses, children."""

    pid: int
    born: float
    command: str
    mark: str
    started_at: str
    state: dict[str, Any] = field(default_factory=dict)


class Ownership:
    """The right to start and stop parts; `say` publishes what others may want to know."""

    def __init__(self, settings: Settings, record: OwnerRecord) -> None:
        self._settings = settings
        self._record = record
        self._state: dict[str, Any] = {}

    @property
    def mark(self) -> str:
        """What every child of this owner carries in its environment."""
        return self._record.mark

    def publish(self, **state: Any) -> None:
        """Add to what others read about this owner."""
        self._state |= state
        write_private_json(record_file(self._settings), {**asdict(self._record), "state": self._state})


def run_folder(settings: Settings) -> Path:
    """The private folder of locks, records and sockets. Raises SettingsError where it cannot be made."""
    folder = settings.psp_home / "run"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"PSP_HOME ({settings.psp_home}) cannot be written ({error.strerror}).",
            fix="set PSP_HOME to a folder that you may write",
        ) from None
    return folder


def record_file(settings: Settings) -> Path:
    """Where the owner tells who it is."""
    return settings.psp_home / "run" / "owner.json"


def current_owner(settings: Settings) -> OwnerRecord | None:
    """The living owner of this PSP_HOME, or None."""
    found = read_json(record_file(settings))
    if found is None:
        return None
    record = OwnerRecord(**found)
    try:
        born = psutil.Process(record.pid).create_time()
    except psutil.Error:
        return None
    return record if abs(born - record.born) < SAME_PROCESS_SECONDS else None


@contextmanager
def owning(
    settings: Settings, command: str, *, wait: Callable[[OwnerRecord], bool] = lambda _: False
) -> Iterator[Ownership]:
    """The ownership for the length of the block, after ending what a killed owner left behind.

    `wait` is asked about another owner: True waits for its end. Raises ConflictError naming the other one.
    """
    with (run_folder(settings) / "owner.lock").open("a") as lock:
        _acquire(settings, lock, wait)
        end_leftovers(settings)
        me = psutil.Process()
        record = OwnerRecord(
            pid=me.pid,
            born=me.create_time(),
            command=command,
            mark=secrets.token_hex(12),
            started_at=settings.clock().isoformat(timespec="seconds"),
        )
        ownership = Ownership(settings, record)
        ownership.publish(phase="starting")
        try:
            yield ownership
        finally:
            # A forked copy of this process must not take away the record of its parent.
            if os.getpid() == record.pid:
                end_marked(record.mark)
                record_file(settings).unlink(missing_ok=True)


def end_leftovers(settings: Settings) -> int:
    """End what a killed owner left behind; returns how many processes. Call it while nobody else owns."""
    found = read_json(record_file(settings))
    ended = end_marked(str(found["mark"])) if found else 0
    record_file(settings).unlink(missing_ok=True)
    return ended


def _acquire(settings: Settings, lock: IO[str], wait: Callable[[OwnerRecord], bool]) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            other = current_owner(settings)
        if other is None:
            time.sleep(POLL_SECONDS)  # it has just begun or is about to end
        elif wait(other):
            time.sleep(POLL_SECONDS)
        elif other.command == UP:
            raise ConflictError(
                f"The platform is already running (`{UP}`, process {other.pid}, since {other.started_at}).",
                fix="use it, see `psp status`, or stop it with `psp down`",
            )
        else:
            raise ConflictError(
                f"`{other.command}` (process {other.pid}) is at work in this PSP_HOME.", fix="wait for it to end"
            )
