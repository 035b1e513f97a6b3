"""Metrics cut in other ways still add up to the facts."""

from collections import Counter
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from pipelines.sidecar.answers import Answer
from pipelines.sidecar.routes.breakdowns import BOUNDS, BySources, Comparison, Failures, Latency
from pipelines.sidecar.routes.heatmap import Heatmap
from pipelines.sidecar.routes.trends import Recent

DAYS = {"from_date": "2026-01-17", "to_date": "2026-01-19"}
WITHIN = "business_date between '2026-01-17' and '2026-01-19'"


def pairs(database: psycopg.Connection, query: str, **words: str) -> dict[Any, Any]:
    """Of the rows all columns but the last -> the last; `DAYS` and other words in the query are put in."""
    for word, text in {"DAYS": WITHIN, **words}.items():
        query = query.replace(word, text)
    return {row[:-1] if len(row) > 2 else row[0]: row[-1] for row in database.execute(query.encode()).fetchall()}


def test_sources_are_told_apart(api: httpx.Client, database: psycopg.Connection) -> None:
    data = Answer[BySources].model_validate_json(api.get("/metrics/by-source", params=DAYS).content).data

    counts = pairs(database, "select source, count(*) from marts.fct_transactions where DAYS group by 1")
    assert {item.source: item.count for item in data.sources} == counts
    amounts = pairs(database, "select source, sum(amount) from marts.fct_transactions where DAYS group by 1")
    assert {item.source: Decimal(item.amount["INR"]) for item in data.sources} == amounts


@pytest.mark.parametrize(
    ("dimension", "row", "column"),
    [
        ("hour_day", "extract(isodow from business_date)::int::text", "{hour}"),
        ("project_hour", "project", "{hour}"),
        ("project_day", "project", "business_date::text"),
    ],
)
def test_a_heatmap_holds_every_payment(
    api: httpx.Client, database: psycopg.Connection, dimension: str, row: str, column: str
) -> None:
    hour = "extract(hour from created_at at time zone 'Asia/Kolkata')::int::text"
    axes = f"{row}, {column.format(hour=hour)}"
    for metric, value, extra in (
        ("count", "count(*)", {}),
        ("amount", "sum(amount)", {"currency": "INR"}),
    ):
        parameters = {**DAYS, "dimension": dimension, "metric": metric, **extra}
        data = Answer[Heatmap].model_validate_json(api.get("/metrics/heatmap", params=parameters).content).data
        found = {(cell.row, cell.column): Decimal(cell.value or 0) for cell in data.cells}
        assert found == pairs(
            database,
            "select AXES, coalesce(VALUE, 0) from marts.fct_transactions where DAYS group by 1, 2",
            AXES=axes,
            VALUE=value,
        )


def test_the_rate_of_breaks_is_of_what_is_comparable(api: httpx.Client, database: psycopg.Connection) -> None:
    parameters = {**DAYS, "dimension": "project_day", "metric": "break_rate"}
    cells = api.get("/metrics/heatmap", params=parameters).json()["data"]["cells"]

    expected = pairs(
        database,
        "select project, business_date::text, round(10000 * sum((outcome <> 'matched')::int)"
        " / nullif(sum((comparability = 'comparable')::int)::numeric, 0), 4)"
        " from marts.fct_reconciliation where DAYS group by 1, 2",
    )
    assert any(expected.values())
    assert {(cell["row"], cell["column"]): cell["value"] for cell in cells} == {
        key: None if value is None else float(value) for key, value in expected.items()
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"metric": "amount"},
        {"metric": "amount", "currency": ["INR", "USD"]},
        {"metric": "break_rate", "source": "vima"},
        {"dimension": "day"},
    ],
)
def test_a_heatmap_that_makes_no_sense_is_refused(api: httpx.Client, parameters: dict[str, Any]) -> None:
    assert api.get("/metrics/heatmap", params=parameters).status_code == 400


def test_the_last_minutes_are_told_by_project(api: httpx.Client, database: psycopg.Connection) -> None:
    for minutes in (60, 600):
        answer = api.get("/metrics/recent", params={"minutes": minutes, "source": "vima"})
        data = Answer[Recent].model_validate_json(answer.content).data
        counts = pairs(
            database,
            "select project, count(*) from marts.fct_transactions where source = 'vima'"
            " and created_at < '2026-01-20 12:05Z'"
            " and created_at >= timestamptz '2026-01-20 12:00Z' - interval 'MINUTES min' group by 1",
            MINUTES=str(minutes),
        )
        assert {item.project: item.count for item in data.projects} == counts
        assert data.total.count == sum(counts.values())
    assert data.total.success_rate is not None


def test_a_comparison_shows_both_spans(api: httpx.Client, database: psycopg.Connection) -> None:
    parameters = {"from_date": "2026-01-18", "to_date": "2026-01-18", "source": "vima"}
    data = Answer[Comparison].model_validate_json(api.get("/metrics/comparison", params=parameters).content).data

    assert data.compared_with.from_date.isoformat() == "2026-01-17"
    for day, side in (("2026-01-18", "now"), ("2026-01-17", "then")):
        expected = pairs(
            database,
            "select project, count(*) from marts.fct_transactions"
            " where business_date = 'DATE' and source = 'vima' group by 1",
            DATE=day,
        )
        assert {item.project: getattr(item, side).count for item in data.projects if getattr(item, side)} == expected
    for item in data.projects:
        assert item.now is not None
        assert item.then is not None
        assert item.count_change == round((item.now.count - item.then.count) / item.then.count, 6)


def test_failures_are_told_in_the_words_of_the_source(api: httpx.Client, database: psycopg.Connection) -> None:
    data = Answer[Failures].model_validate_json(api.get("/metrics/failures", params=DAYS).content).data

    counts: Counter[tuple[str, str]] = Counter()
    for item in data.failures:
        counts[item.source, item.status_raw] += item.count
    assert counts == pairs(
        database,
        "select source, status_raw, count(*) from marts.fct_transactions"
        " where status = 'failed' and DAYS group by 1, 2",
    )
    assert len(api.get("/metrics/failures", params={**DAYS, "limit": 1}).json()["data"]["failures"]) == 1


def test_latency_is_read_from_the_histogram(api: httpx.Client, database: psycopg.Connection) -> None:
    data = Answer[Latency].model_validate_json(api.get("/metrics/latency", params=DAYS).content).data

    buckets = database.execute(
        "select attname from pg_attribute where attrelid = 'marts.fct_metrics_daily'::regclass"
        " and attname like 'final_within_%'"
    ).fetchall()
    assert {row[0] for row in buckets} == {f"final_within_{bound}s_count" for bound in BOUNDS}

    for item in data.sources:
        rows = pairs(
            database,
            "select transaction_id, seconds_to_final from marts.fct_transaction_outcomes"
            " where source = 'SOURCE' and DAYS and seconds_to_final is not null",
            SOURCE=item.source,
        )
        seconds = sorted(rows.values())
        assert item.count == len(seconds) == sum(bucket.count for bucket in item.buckets)
        middle = seconds[(len(seconds) - 1) // 2] if seconds else None
        assert item.p50 == (next(bound for bound in BOUNDS if middle <= bound) if middle is not None else None)
