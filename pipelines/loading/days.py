"""Several created days at once: a failed day does not stop the others, and what can only fail again is not tried.

days -> up to `workers` threads, each loading one day -> one DayOutcome per day, in the order asked for
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from threading import Event

from pipelines.core.errors import BrowserError, DatabaseError, PlatformError, SettingsError, SourceAuthError
from pipelines.loading.report import LoadReport

HOPELESS = (SourceAuthError, SettingsError, BrowserError, DatabaseError)
"""Failures that would only repeat themselves on the next day, and of which one may lock an account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOutcome:
    """How one day went: a report, or the error; neither for a day that was not tried any more."""

    day: date
    report: LoadReport | None = None
    error: PlatformError | None = None


def load_days(days: Sequence[date], load_one: Callable[[date], LoadReport], *, workers: int) -> Iterator[DayOutcome]:
    """Load `days`, yielding each outcome in order as soon as it is known. Closing the iterator stops after the days in
    progress."""
    stop = Event()

    def run(day: date) -> DayOutcome:
        if stop.is_set():
            return DayOutcome(day=day)
        try:
            return DayOutcome(day=day, report=load_one(day))
        except PlatformError as error:
            if isinstance(error, HOPELESS):
                stop.set()
            return DayOutcome(day=day, error=error)

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="day") as pool:
        try:
            yield from pool.map(run, days)
        finally:
            stop.set()
