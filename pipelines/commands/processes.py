"""Child processes of `psp`: started in sessions of their own, logged with redaction, ended in order, none left behind.

Each child and everything it starts carries a mark in its environment. By the mark alone a process is known as ours:
process numbers are reused, marks are not.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

import psutil

from pipelines.core.redaction import redact
from pipelines.core.settings import PROJECT_ROOT

MARK = "PSP_PROCESS_MARK"
LOG_BYTES = 5_000_000
LOG_FILES = 2
LINE_LIMIT = 64 * 1024
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1


class Child:
    """One module as a process. `arguments` are those of `python -m`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        mark: str,
        environment: Mapping[str, str],
        log: Path,
        waits_for_its_children: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.waits_for_its_children = waits_for_its_children
        self._command = [sys.executable, "-m", "pipelines.commands.child", str(os.getpid()), *arguments]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment, MARK: mark}
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, talks: bool = False) -> None:
        """Start it; call from the main thread, since its life is bound to the thread that starts it.

        With `talks`, `stdin` and `stdout` are for the parent, and only stderr goes to the log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            self._command,
            cwd=PROJECT_ROOT,
            env=self._environment,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if talks else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        output = self._process.stderr if talks else self._process.stdout
        threading.Thread(target=_pump, args=(output, self.log), name=f"log-{self.name}", daemon=True).start()

    @property
    def is_started(self) -> bool:
        """Whether it has ever been started."""
        return self._process is not None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process. Raises RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def last_line(self) -> str:
        """The last line of its log that says something, for an error message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def stop_children(children: Sequence[Child], *, patience: float = STOP_SECONDS) -> None:
    """End them together: ask, wait, insist on it; what they have started themselves ends with them."""
    started = [child for child in children if child.is_started]
    asked, below = [], []
    for child in started:
        try:
            process = psutil.Process(child.process.pid)
            below += process.children(recursive=True)
            asked += [process, *(process.children() if child.waits_for_its_children else [])]
        except psutil.NoSuchProcess:
            continue
    _end(asked, patience)
    _end(below, patience)
    for child in started:
        child.process.wait()


def marked(mark: str) -> list[psutil.Process]:
    """All processes that carry the mark, children's children included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # not ours to look at, or gone
    return found


def end_marked(mark: str, *, patience: float = STOP_SECONDS) -> int:
    """End all processes that carry the mark; returns how many there were."""
    found = marked(mark)
    _end(found, patience)
    return len(found)


def _end(processes: Sequence[psutil.Process], patience: float) -> None:
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=patience)


def _pump(stream: IO[str] | None, log: Path) -> None:
    """Copy lines to the log until the last holder of the pipe is gone."""
    if stream is None:
        return
    handler = RotatingFileHandler(log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    with stream:
        while line := stream.readline(LINE_LIMIT):
            handler.emit(makeLogRecord({"msg": redact(line.rstrip("\n"))}))
    handler.close()


def wait_until_gone(pid: int, born: float, *, seconds: float) -> bool:
    """Whether the process with that number and birth has ended within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            process = psutil.Process(pid)
            if abs(process.create_time() - born) > 1 or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(POLL_SECONDS)
    return False
