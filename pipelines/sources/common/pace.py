"""How long to wait between requests: the configured pause, longer while a provider answers 429, then back again.

The extra pause doubles with every 429 and shrinks by a tenth with every good answer, so a load finds the rate that the
provider allows and stays near it. One Pace may be shared by several threads of one load.
"""

import threading

FIRST_EXTRA_SECONDS = 0.25
MAX_EXTRA_SECONDS = 30.0
RECOVERY = 0.9
NEGLIGIBLE_SECONDS = 0.01


class Pace:
    """The pause before the next request, in seconds."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause = pause_seconds
        self._extra = 0.0
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """What to wait now."""
        return self._pause + self._extra

    def slow_down(self) -> None:
        """The provider said 429."""
        with self._lock:
            self._extra = min(max(FIRST_EXTRA_SECONDS, 2 * self._extra), MAX_EXTRA_SECONDS)

    def recover(self) -> None:
        """The provider answered."""
        with self._lock:
            shrunk = self._extra * RECOVERY
            self._extra = shrunk if shrunk > NEGLIGIBLE_SECONDS else 0.0
