"""Ranges of days from the command line."""

from datetime import date

import pytest
import typer

from pipelines.commands.dates import MAX_DAYS, day_range, parse_day


def test_both_ends_are_included() -> None:
    assert day_range(date(2026, 2, 27), date(2026, 3, 1)) == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]


def test_nothing_given_is_no_range() -> None:
    assert day_range(None, None) == []


@pytest.mark.parametrize(
    ("first", "last", "word"),
    [
        (date(2026, 1, 1), None, "both"),
        (None, date(2026, 1, 1), "both"),
        (date(2026, 1, 2), date(2026, 1, 1), "after"),
        (date(2020, 1, 1), date(2026, 1, 1), str(MAX_DAYS)),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(first: date | None, last: date | None, word: str) -> None:
    with pytest.raises(typer.BadParameter, match=word):
        day_range(first, last)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "01.02.2026"])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-01-15"):
        parse_day(text)
