"""Several days at once: each has its own outcome, and what can only fail again is not tried."""

import threading
import time
from datetime import date, timedelta

import pytest

from pipelines.core.errors import DatabaseError, PlatformError, SourceAuthError, SourceUnavailable
from pipelines.loading.days import load_days
from pipelines.loading.report import LoadReport

DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(8)]


def report(day: date) -> LoadReport:
    return LoadReport(source="vima", mode="window", scope=day.isoformat())


def test_outcomes_come_in_the_order_asked_for_whoever_is_faster() -> None:
    def load(day: date) -> LoadReport:
        time.sleep(0.03 * (8 - day.day))
        return report(day)

    outcomes = list(load_days(DAYS, load, workers=4))
    assert [outcome.day for outcome in outcomes] == DAYS
    assert all(outcome.report is not None and outcome.report.scope == outcome.day.isoformat() for outcome in outcomes)


@pytest.mark.parametrize("workers", [1, 3])
def test_never_more_at_once_than_asked_for(workers: int) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def load(day: date) -> LoadReport:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        return report(day)

    list(load_days(DAYS, load, workers=workers))
    assert most[0] == workers


def test_a_failed_day_does_not_stop_the_others() -> None:
    def load(day: date) -> LoadReport:
        if day.day == 3:
            raise SourceUnavailable("Vima does not answer.")
        return report(day)

    outcomes = list(load_days(DAYS, load, workers=2))
    assert [outcome.day.day for outcome in outcomes if outcome.error] == [3]
    assert sum(outcome.report is not None for outcome in outcomes) == 7


@pytest.mark.parametrize("error", [SourceAuthError("refused"), DatabaseError("gone")])
def test_what_can_only_fail_again_is_not_tried(error: PlatformError) -> None:
    tried = []

    def load(day: date) -> LoadReport:
        tried.append(day)
        raise error

    outcomes = list(load_days(DAYS, load, workers=1))
    assert tried == DAYS[:1]
    assert outcomes[0].error is error
    assert all(outcome.error is None and outcome.report is None for outcome in outcomes[1:])


def test_closing_the_outcomes_stops_after_the_days_in_progress() -> None:
    tried = []

    def load(day: date) -> LoadReport:
        tried.append(day)
        time.sleep(0.05)
        return report(day)

    outcomes = load_days(DAYS, load, workers=1)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(tried) <= 2


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def load(day: date) -> LoadReport:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(load_days(DAYS, load, workers=2))
