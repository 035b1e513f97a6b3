"""Loads that are killed with SIGKILL at seeded random instants, and what the raw log holds in the end.

    epoch: the world stands at one instant -> feeds and windows are started, most are killed, until both feeds ended
           -> the world moves on -> next epoch ... until enough were killed -> compared record by record

Because the world moves only when both feeds have ended, what must be in the log is known exactly: for each epoch
everything that Vima shows, PayShack's look-back days (in the first epoch all of them), and its directories.

A loader is a process of its own, forked from one that has done the imports: as `python -m tests.kills` it takes orders,
one line each, and tells the pid and then how it ended.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pipelines.core.errors import ConflictError
from pipelines.core.postgres import connect
from pipelines.core.runtime import payshack_access, vima_access
from pipelines.core.settings import load_settings
from pipelines.sandbox.world import World
from tests import provider_history as truth

ROOT = Path(__file__).parents[1]
DONE, CONFLICT, FAILED = 0, 3, 4
LOOK_BACK_DAYS = 2
LEAST_PAGES = 2
MINUTES_PER_EPOCH = (5, 40)
WINDOW_SHARE = 0.25
MAX_ROUNDS_PER_KILL = 12
CONFLICT_TRIES = 400


@dataclass(frozen=True, slots=True)
class Order:
    """What a loader is to do; `day` is for a window."""

    source: str
    now: str
    day: str | None = None

    @property
    def name(self) -> str:
        return f"{self.source} {self.day or 'feed'}"


@dataclass(slots=True, kw_only=True)
class Result:
    """How the run went; `wrong` is what is lost, doubled or invented."""

    kills: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    epochs: int = 0
    versions: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class Loaders:
    """The process that forks loaders; use as a context manager."""

    def __init__(self, environment: dict[str, str]) -> None:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("PSP_", "VIMA_", "PAYSH"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills"],
            cwd=ROOT,
            env=inherited | environment | {"PAYSHACK_LOOKBACK_DAYS": str(LOOK_BACK_DAYS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> "Loaders":
        assert self._said() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def run(self, order: Order, *, kill_after: float | None) -> tuple[int, float]:
        """Exit code of the loader (negative when it was killed) and the seconds that it lived."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([order.source, order.now, order.day]) + "\n")
        pid, began = int(self._said()), time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            # Until its parent has been told to go on it is there, dead or alive: the pid is of nobody else.
            os.kill(pid, signal.SIGKILL)
        self._process.stdin.write("go on\n")
        code = int(self._said())
        return code, time.monotonic() - began

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the process that forks loaders has ended")
        return line


def run_with_kills(
    *, kills: int, seed: int, environment: dict[str, str], world: World, start: datetime, say: Callable[[str], object]
) -> Result:
    """Load until `kills` loaders were killed, and compare. The servers of `environment` must take orders for faults."""
    rng, result, began = random.Random(seed), Result(), time.monotonic()  # noqa: S311 - a seed is wanted
    expected: set[truth.Version] = set()
    usual = {"vima": 0.6, "payshack": 1.5}
    now = start
    with Loaders(environment) as loaders:
        while result.killed < kills:
            result.epochs += 1
            waiting = {"vima", "payshack"}
            while waiting:
                source = rng.choice(sorted(waiting))
                order = Order(source, now.isoformat(), _window(rng, now) if rng.random() < WINDOW_SHARE else None)
                instant = rng.uniform(0, 1.35 * usual[source]) if result.killed < kills else None
                code, lived = _one(loaders, order, instant)
                if code < 0:
                    result.kills[source] += 1
                    # How fast the machine is shows only in time: who is always killed gets longer.
                    usual[source] *= 1.15
                    say(f"kill {result.killed:3d}: {order.name} after {lived * 1000:6.1f} ms, world at {now:%d %H:%M}")
                elif code == DONE:
                    result.ended[source] += 1
                    if order.day is None:
                        waiting.discard(source)
                        usual[source] = 0.4 * usual[source] + 0.6 * lived
                else:
                    result.wrong.append(f"{order.name} failed: see the output")
                    return result
                if sum(result.ended.values()) + result.killed > MAX_ROUNDS_PER_KILL * kills:
                    result.wrong.append("hardly any loader was killed: the instants do not fit the machine")
                    return result
            since = None if result.epochs == 1 else now.date() - timedelta(days=LOOK_BACK_DAYS)
            expected |= truth.vima_versions(world, now) | truth.directory_versions(world, now)
            expected |= truth.payshack_versions(world, now, since=since)
            now = _move_on(environment, now, timedelta(minutes=rng.randint(*MINUTES_PER_EPOCH)))
    result.wrong += _wrong(environment["PSP_DATABASE_URL"], expected)
    result.versions, result.seconds = len(expected), time.monotonic() - began
    return result


def _one(loaders: Loaders, order: Order, kill_after: float | None) -> tuple[int, float]:
    """A killed loader's session may still be ending in PostgreSQL: then its right is not free yet, as for any other."""
    for _ in range(CONFLICT_TRIES):
        code, lived = loaders.run(order, kill_after=kill_after)
        if code != CONFLICT:
            return code, lived
        time.sleep(0.05)
    raise RuntimeError(f"the right to load {order.name} is never given back")


def _window(rng: random.Random, now: datetime) -> str:
    return (now.date() - timedelta(days=rng.randint(0, LOOK_BACK_DAYS))).isoformat()


def _move_on(environment: dict[str, str], now: datetime, step: timedelta) -> datetime:
    settings = load_settings(environment)
    for address in (vima_access(settings).base_url, payshack_access(settings).portal_url):
        control = httpx.URL(address).copy_with(path="/sandbox/faults", query=None)
        told = {"fault": "hurry", "seconds": step.total_seconds()}
        httpx.post(control, json=told, trust_env=False).raise_for_status()
    return now + step


def _wrong(url: str, expected: set[truth.Version]) -> list[str]:
    wrong = truth.differences(truth.logged_versions(url), expected)
    with connect(url) as connection:

        def value(statement: str) -> Any:
            row = connection.execute(statement.encode()).fetchone()
            return None if row is None else row[0]

        cursor = value("select cursor_value::bigint from raw.source_cursors where source = 'vima'")
        newest = value("select max(source_order) from raw.vima_operations")
        if cursor is None or newest is None or cursor < newest:
            wrong.append(f"the cursor stands at {cursor}, the newest row at {newest}")
        if value("select count(*) from raw.window_progress where position is not null and window_date < '2000-01-01'"):
            wrong.append("a window of no day")
    return wrong


def _serve() -> None:
    """Fork a loader per line of orders; the imports have been done."""
    from pipelines.loading import payshack, sink, vima

    sink.LEAST_PAGES = LEAST_PAGES
    loads: dict[tuple[str, bool], Callable[..., object]] = {
        ("vima", False): vima.load_vima_feed,
        ("vima", True): vima.load_vima_window,
        ("payshack", False): payshack.load_payshack_feed,
        ("payshack", True): payshack.load_payshack_window,
    }
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        source, now, day = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ["PSP_NOW"] = now
            os._exit(_load(loads[source, day is not None], [] if day is None else [date.fromisoformat(day)]))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _load(load: Callable[..., object], arguments: list[date]) -> int:
    try:
        load(load_settings(), *arguments)
    except ConflictError:
        return CONFLICT
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return FAILED
    return DONE


if __name__ == "__main__":
    _serve()
