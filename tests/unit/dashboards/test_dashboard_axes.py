"""Axes of the preview: bars keep their place and width, labels are few and round."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pipelines.dashboards.preview.axes import LABELS, axis_value, time_bands, time_scale
from pipelines.dashboards.warehouse import Kind

INDIA = ZoneInfo("Asia/Kolkata")


def drawn(kind: Kind, values: list[date]) -> tuple[list[str], list[str]]:
    """The bands, and those with a label."""
    encoded = time_bands(kind, [axis_value(value, INDIA) for value in values]).to_dict()
    return encoded["scale"]["domain"], encoded["axis"]["values"]


def test_a_day_without_a_bar_keeps_its_place() -> None:
    bands, labels = drawn("date", [date(2026, 2, 26), date(2026, 3, 1), date(2026, 2, 27)])
    assert [band[:10] for band in bands] == ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]
    assert labels == bands


def test_hours_are_labelled_at_round_times_of_the_business_zone() -> None:
    # 18:30 UTC is midnight in India.
    midnight = datetime(2026, 1, 10, 18, 30, tzinfo=UTC)
    bands, labels = drawn("instant", [midnight, midnight + timedelta(hours=167)])
    assert len(bands) == 168
    assert len(labels) <= LABELS
    assert {label[11:] for label in labels} == {"00:00:00Z"}


def test_weeks_are_not_filled_with_days() -> None:
    bands, _ = drawn("date", [date(2026, 1, 5), date(2026, 1, 12), date(2026, 1, 26)])
    assert len(bands) == 3


def test_one_bar_and_a_history_of_years_are_drawn() -> None:
    assert len(drawn("date", [date(2026, 1, 5)])[0]) == 1
    first = datetime(2020, 1, 1, tzinfo=UTC)
    bands, labels = drawn("instant", [first, first + timedelta(hours=1), first + timedelta(days=3000)])
    assert len(bands) == 3
    assert labels


def test_a_line_has_few_labels_as_well() -> None:
    days = [axis_value(date(2026, 1, 1) + timedelta(days=number), INDIA) for number in range(60)]
    encoded = time_scale("date", days).to_dict()
    assert 2 <= len(encoded["axis"]["values"]) <= LABELS
