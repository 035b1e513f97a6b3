"""Metabase's words for dates mean what they mean in Metabase."""

from datetime import date

import pytest

from pipelines.core.errors import DashboardError
from pipelines.dashboards.dates import Days, parse_days

TODAY = date(2026, 1, 15)  # a Thursday


def days(first: str | None, last: str | None) -> Days:
    return Days(date.fromisoformat(first) if first else None, date.fromisoformat(last) if last else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", days("2026-01-15", "2026-01-15")),
        ("yesterday", days("2026-01-14", "2026-01-14")),
        ("past7days", days("2026-01-08", "2026-01-14")),
        ("past7days~", days("2026-01-08", "2026-01-15")),
        ("past1days~", days("2026-01-14", "2026-01-15")),
        ("past1weeks", days("2026-01-05", "2026-01-11")),
        ("past1weeks~", days("2026-01-05", "2026-01-18")),
        ("past2months", days("2025-11-01", "2025-12-31")),
        ("past1months-from-1months", days("2025-11-01", "2025-11-30")),
        ("past1quarters", days("2025-10-01", "2025-12-31")),
        ("past1years", days("2025-01-01", "2025-12-31")),
        ("next3days", days("2026-01-16", "2026-01-18")),
        ("thisday", days("2026-01-15", "2026-01-15")),
        ("thisweek", days("2026-01-12", "2026-01-18")),
        ("lastweek", days("2026-01-05", "2026-01-11")),
        ("thismonth", days("2026-01-01", "2026-01-31")),
        ("lastmonth", days("2025-12-01", "2025-12-31")),
        ("thisyear", days("2026-01-01", "2026-12-31")),
        ("2026-02", days("2026-02-01", "2026-02-28")),
        ("Q4-2025", days("2025-10-01", "2025-12-31")),
        ("2026-01-10", days("2026-01-10", "2026-01-10")),
        ("2026-01-10~2026-01-12", days("2026-01-10", "2026-01-12")),
        ("~2026-01-12", days(None, "2026-01-12")),
        ("2026-01-12~", days("2026-01-12", None)),
    ],
)
def test_words_are_ranges_of_days(text: str, expected: Days) -> None:
    assert parse_days(text, TODAY) == expected


def test_a_month_that_is_shorter_keeps_its_end() -> None:
    assert parse_days("past1months", date(2026, 3, 31)) == days("2026-02-01", "2026-02-28")


@pytest.mark.parametrize(
    "text",
    ["", "~", "past days", "past99999days", "2026-13", "2026-02-30", "2026-01-12~2026-01-10", "exclude-days-Mon"],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(DashboardError):
        parse_days(text, TODAY)
