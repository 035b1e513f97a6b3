"""What a question means: filters become parameters, dates become spans, and nothing unknown is let through."""

from datetime import date

import pytest
from pydantic import ValidationError

from pipelines.core.settings import load_settings
from pipelines.sidecar.filters import DiscrepancyFilters, Page, TransactionFilters
from pipelines.sidecar.periods import Period, compared_with, period_of


def test_no_filter_is_every_row() -> None:
    asked = TransactionFilters()

    assert asked.where().as_string() == "true"
    assert asked.used() == {}


def test_values_are_never_part_of_the_query() -> None:
    asked = TransactionFilters.model_validate({"search": "'; drop table x; --", "project": ["a", "b"]})

    assert asked.where().as_string().count("%(") == 5
    assert "drop" not in asked.where().as_string()
    assert asked.used() == {"search": "'; drop table x; --", "project": ["a", "b"]}


def test_discrepancies_never_hold_matched_rows() -> None:
    assert DiscrepancyFilters().where().as_string() == "outcome <> 'matched' and true"


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_date": "20260115"},
        {"from_date": "1700000000"},
        {"from_date": "2026-02-30"},
        {"from_date": "2026-01-15T10:00:00"},
        {"from_date": "2026-01-16", "to_date": "2026-01-15"},
        {"status": ["won"]},
        {"search": ""},
        {"search": "a\x00b"},
        {"search": "x" * 201},
        {"serach": "typo"},
    ],
)
def test_a_wrong_filter_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TransactionFilters.model_validate(wrong)


def test_pages_are_ordered_by_something_unique_at_last() -> None:
    assert Page(order="asc").ordering("amount", "transaction_id").as_string() == '"amount" asc, "transaction_id" asc'


def test_without_dates_the_last_seven_business_dates_are_meant() -> None:
    # 20:00 UTC is already the next day in Kolkata.
    settings = load_settings({"PSP_NOW": "2026-01-20T20:00:00Z"})

    assert period_of(settings, None, None) == Period(from_date=date(2026, 1, 15), to_date=date(2026, 1, 21))
    assert period_of(settings, date(2026, 1, 1), None).to_date == date(2026, 1, 21)
    assert period_of(settings, None, date(2026, 1, 10)).from_date == date(2026, 1, 4)
    assert period_of(settings, date(2027, 1, 1), None).to_date == date(2027, 1, 1)


@pytest.mark.parametrize("day", [date.min, date.max])
def test_the_ends_of_the_calendar_are_no_trap(day: date) -> None:
    period = period_of(load_settings({}), day, day)

    assert compared_with(period, "same_weekday") is not None


def test_a_span_is_compared_with_one_of_its_length() -> None:
    period = Period(from_date=date(2026, 1, 10), to_date=date(2026, 1, 12))

    assert compared_with(period, "previous") == Period(from_date=date(2026, 1, 7), to_date=date(2026, 1, 9))
    assert compared_with(period, "same_weekday") == Period(from_date=date(2026, 1, 3), to_date=date(2026, 1, 5))
    assert compared_with(period, "none") is None
