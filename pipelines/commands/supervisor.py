"""Keeps the long-running processes of `psp up` alive: starts them, starts the dead ones again, stops all in order.

A process that dies is started again after 1, 2, 4 ... seconds; one that dies more than `DEATHS_LIMIT` times within
`DEATHS_SECONDS` is not going to live, and takes the platform down with a message.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.commands.parts import await_ready, service_child, start_failure
from pipelines.commands.processes import Child, stop_children
from pipelines.commands.services import CODE_SERVER, SANDBOX, Service
from pipelines.core.settings import Settings

DEATHS_LIMIT = 5
DEATHS_SECONDS = 600.0


@dataclass(slots=True)
class _Watched:
    service: Service
    child: Child
    deaths: deque[float] = field(default_factory=deque)
    start_again_at: float | None = None


class Supervisor:
    """The services of one `psp up`. Not thread-safe: started, watched and stopped from the main thread."""

    def __init__(self, settings: Settings, *, mark: str, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._mark = mark
        self._tell = tell
        self._watched: dict[str, _Watched] = {}

    def start(self, service: Service) -> None:
        """Start it; do not wait for it."""
        child = service_child(self._settings, service, mark=self._mark)
        self._watched[service.name] = _Watched(service, child)
        child.start()

    def await_ready(self, *names: str) -> None:
        """Wait until these answer. Raises PlatformError when one ends instead."""
        for name in names:
            watched = self._watched[name]
            await_ready(watched.service, watched.child)

    def describe(self) -> list[dict[str, object]]:
        """What runs, for `psp status`."""
        return [
            {"name": name, "pid": watched.child.process.pid, "restarts": len(watched.deaths)}
            for name, watched in self._watched.items()
        ]

    def check(self) -> bool:
        """Start again what has died; true when something changed. Raises PlatformError when one does not stay alive."""
        now, changed = time.monotonic(), False
        for watched in self._watched.values():
            if watched.start_again_at is not None:
                if now >= watched.start_again_at:
                    watched.start_again_at = None
                    watched.child.start()
                    changed = True
            elif watched.child.exit_code is not None:
                self._has_died(watched, now)
                changed = True
        return changed

    def require_alive(self) -> None:
        """During the start, nothing may die. Raises PlatformError."""
        for watched in self._watched.values():
            code = watched.child.exit_code
            if code is not None:
                raise start_failure(watched.service, watched.child, f"ended with code {code}")

    def stop(self, *, patience: float) -> None:
        """Stop all: first what starts work, then what does it, then what it reads from."""
        children = {name: watched.child for name, watched in self._watched.items()}
        waves = [
            [child for name, child in children.items() if name != CODE_SERVER and not name.startswith(SANDBOX)],
            [child for name, child in children.items() if name == CODE_SERVER],
            [child for name, child in children.items() if name.startswith(SANDBOX)],
        ]
        for wave in waves:
            stop_children(wave, patience=patience)

    def _has_died(self, watched: _Watched, now: float) -> None:
        watched.deaths.append(now)
        while watched.deaths and now - watched.deaths[0] > DEATHS_SECONDS:
            watched.deaths.popleft()
        code = watched.child.exit_code
        if len(watched.deaths) > DEATHS_LIMIT:
            raise start_failure(
                watched.service,
                watched.child,
                f"ended {len(watched.deaths)} times in ten minutes, last with code {code}",
            )
        pause = 2.0 ** (len(watched.deaths) - 1)
        watched.start_again_at = now + pause
        said = watched.child.last_line()
        self._tell(
            f"{watched.service.title} ended with code {code}; starting it again in {pause:.0f} s. {said}".strip()
        )
