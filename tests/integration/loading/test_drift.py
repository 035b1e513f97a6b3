"""A provider that changes the shape of its records is told about: fields that are new, gone, or of another type."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.core.settings import Settings
from pipelines.loading import drift
from pipelines.loading.drift import Retyped, schema_drift
from pipelines.loading.vima import load_vima_feed
from tests.integration.loading.conftest import TinyVima, operation

Make = Callable[..., Settings]


@pytest.fixture
def feed(vima: TinyVima, vima_settings: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Loads operations of one shape as a baseline of 300, then 100 of another; the newest 100 count as recent."""
    monkeypatch.setattr(drift, "RECENT_ROWS", 100)
    monkeypatch.setattr(drift, "BASELINE_ROWS", 300)

    def load(before: Callable[[int], dict[str, Any]], now: Callable[[int], dict[str, Any]]) -> Settings:
        settings = vima_settings()
        vima.rows = [shape(operation(number), before(number)) for number in range(300)]
        load_vima_feed(settings)
        vima.rows += [shape(operation(number), now(number)) for number in range(300, 400)]
        load_vima_feed(settings)
        return settings

    return load


def shape(known: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (known | fields).items() if value is not ...}


def test_the_same_shape_is_no_drift(feed: Callable[..., Settings]) -> None:
    def same(number: int) -> dict[str, Any]:
        fees = {"card_finish": [{"charged_fee": number}]} if number % 2 else {}
        return {"rates": {f"INR-{number}": 1}, "rrn": None if number % 3 else "1"} | fees

    report = schema_drift(feed(same, same), "vima_operations")
    assert not report.has_drift
    assert (report.recent_rows, report.baseline_rows) == (100, 300)


def test_new_fields_are_named_by_their_path(feed: Callable[..., Settings]) -> None:
    settings = feed(
        lambda number: {"card_finish": [{"fee": 1}]},
        lambda number: {"card_finish": [{"fee": 1, "tax": {"rate": 2}}], "risk": "low" if number == 399 else ...},
    )
    assert schema_drift(settings, "vima_operations").new == ("card_finish[].tax", "card_finish[].tax.rate", "risk")


def test_a_field_that_is_gone_is_told_and_a_rare_one_is_not(feed: Callable[..., Settings]) -> None:
    settings = feed(
        lambda number: {"everywhere": 1, "often": 1 if number % 2 else ..., "rare": 1 if number % 50 == 0 else ...},
        lambda number: {},
    )
    assert schema_drift(settings, "vima_operations").vanished == ("everywhere", "often")


def test_a_field_of_another_type_is_told_with_both(feed: Callable[..., Settings]) -> None:
    settings = feed(
        lambda number: {"complete_amount": 5, "note": None if number % 2 else "x", "always_null": None},
        lambda number: {"complete_amount": "5" if number > 380 else 5, "note": None, "always_null": "x"},
    )
    assert schema_drift(settings, "vima_operations").retyped == (
        Retyped(path="complete_amount", before=("number",), now=("number", "string")),
    )


def test_too_little_to_compare_with_is_no_drift(vima: TinyVima, vima_settings: Make) -> None:
    settings = vima_settings()
    assert not schema_drift(settings, "vima_operations").has_drift
    load_vima_feed(settings)
    report = schema_drift(settings, "vima_operations")
    assert (report.recent_rows, report.baseline_rows, report.has_drift) == (250, 0, False)


def test_only_tables_of_the_raw_log_have_a_shape(vima_settings: Make) -> None:
    with pytest.raises(ValueError, match="no table of the raw log"):
        schema_drift(vima_settings(), "pg_user")
