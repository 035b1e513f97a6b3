"""Metrics and summaries are sums over the marts: checked against the facts themselves, not against the same query."""

from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from pipelines.sidecar.answers import Answer
from pipelines.sidecar.routes.metrics import ByProject, Overview
from pipelines.sidecar.routes.reconciliation import Summary
from pipelines.sidecar.routes.trends import Trends

FACTS = """
select count(*), sum(amount), count(*) filter (where status = 'success'), count(*) filter (where status = 'failed'),
    count(*) filter (where status = 'pending')
from marts.fct_transactions
where business_date between %(from)s and %(to)s and (%(source)s::text is null or source = %(source)s)
"""


def facts(database: psycopg.Connection, first: str, last: str, source: str | None = None) -> tuple[Any, ...]:
    row = database.execute(FACTS, {"from": first, "to": last, "source": source}).fetchone()
    assert row is not None
    return row


def test_the_overview_adds_up_to_the_facts(api: httpx.Client, database: psycopg.Connection) -> None:
    response = api.get("/metrics/overview", params={"from_date": "2026-01-18", "to_date": "2026-01-19"})

    data = Answer[Overview].model_validate_json(response.content).data
    count, amount, success, failed, pending = facts(database, "2026-01-18", "2026-01-19")
    assert data.total.count == count
    assert Decimal(data.total.amount["INR"]) == amount
    assert (data.by_status.success, data.by_status.failed, data.by_status.pending) == (success, failed, pending)
    assert data.conversion_rate == round(success / count, 6)
    assert data.success_rate == round(success / (success + failed), 6)
    assert [item.source for item in data.by_source] == ["payshack", "vima"]
    assert sum(item.count for item in data.by_source) == count
    vima = facts(database, "2026-01-18", "2026-01-19", "vima")
    assert Decimal(data.by_source[1].amount["INR"]) == vima[1]


@pytest.mark.parametrize(
    ("compare", "first", "last"),
    [("previous", "2026-01-17", "2026-01-17"), ("same_weekday", "2026-01-11", "2026-01-11")],
)
def test_the_change_is_against_the_span_that_is_named(
    api: httpx.Client, database: psycopg.Connection, compare: str, first: str, last: str
) -> None:
    parameters = {"from_date": "2026-01-18", "to_date": "2026-01-18", "compare": compare}

    trends = api.get("/metrics/overview", params=parameters).json()["data"]["trends"]

    now, then = facts(database, "2026-01-18", "2026-01-18"), facts(database, first, last)
    assert trends["compared_with"] == {"from_date": first, "to_date": last}
    assert trends["total_change"] == (round((now[0] - then[0]) / then[0], 6) if then[0] else None)
    assert trends["failed_change"] == (round((now[3] - then[3]) / then[3], 6) if then[3] else None)


def test_days_without_payments_are_nothing_rather_than_zero_per_cent(api: httpx.Client) -> None:
    data = api.get("/metrics/overview", params={"from_date": "2020-01-01", "to_date": "2020-01-02"}).json()["data"]

    assert data["total"] == {"count": 0, "amount": {}}
    assert (data["conversion_rate"], data["success_rate"], data["avg_ticket"]) == (None, None, {})
    assert data["trends"]["total_change"] is None


def test_projects_add_up_to_the_whole(api: httpx.Client) -> None:
    parameters = {"from_date": "2026-01-16", "to_date": "2026-01-20", "source": "vima"}
    data = Answer[ByProject].model_validate_json(api.get("/metrics/by-project", params=parameters).content).data
    whole = api.get("/metrics/overview", params=parameters).json()["data"]["total"]

    assert {item.project for item in data.projects} == {"91game", "monetix"}
    assert sum(item.count for item in data.projects) == whole["count"]
    assert sum(Decimal(item.amount) for item in data.projects) == Decimal(whole["amount"]["INR"])


@pytest.mark.parametrize("granularity", ["5min", "15min", "hour", "day", "week"])
def test_points_add_up_to_the_whole(api: httpx.Client, granularity: str) -> None:
    parameters = {"from_date": "2026-01-16", "to_date": "2026-01-20"}
    response = api.get("/metrics/trends", params=parameters | {"granularity": granularity})
    data = Answer[Trends].model_validate_json(response.content).data
    whole = api.get("/metrics/overview", params=parameters).json()["data"]

    assert sum(point.count for point in data.points) == whole["total"]["count"]
    assert sum(Decimal(point.amount["INR"]) for point in data.points) == Decimal(whole["total"]["amount"]["INR"])
    assert sum(point.failed_count for point in data.points) == whole["by_status"]["failed"]
    instants = [point.timestamp for point in data.points]
    assert instants == sorted(set(instants))


def test_a_day_begins_at_midnight_of_the_business_zone(api: httpx.Client) -> None:
    parameters = {"from_date": "2026-01-17", "to_date": "2026-01-17", "granularity": "day"}

    points = api.get("/metrics/trends", params=parameters).json()["data"]["points"]

    assert [point["timestamp"] for point in points] == ["2026-01-16T18:30:00Z"]


def test_more_points_than_a_chart_can_show_are_refused(api: httpx.Client) -> None:
    parameters = {"from_date": "2020-01-01", "to_date": "2026-01-01", "granularity": "hour"}

    response = api.get("/metrics/trends", params=parameters)

    assert response.status_code == 400
    assert "fewer days" in response.json()["error"]["message"]


def test_the_summary_adds_up_to_the_facts(api: httpx.Client, database: psycopg.Connection) -> None:
    parameters = {"from_date": "2026-01-17", "to_date": "2026-01-19"}
    data = Answer[Summary].model_validate_json(api.get("/reconciliation/summary", params=parameters).content).data

    rows = dict(
        database.execute(
            "select coalesce(outcome, comparability), count(*) from marts.fct_reconciliation"
            " where business_date between '2026-01-17' and '2026-01-19' group by 1"
        ).fetchall()
    )
    exposure = database.execute(
        "select sum(exposure) from marts.fct_reconciliation"
        " where business_date between '2026-01-17' and '2026-01-19' and currency = 'INR'"
    ).fetchone()
    assert data.total == sum(rows.values())
    assert data.matched.count == rows["matched"]
    assert data.matched.percentage == round(100 * rows["matched"] / data.comparable, 4)
    assert data.discrepancies.by_type == {
        name: rows.get(name, 0) for name in ("discrepancy_amount", "discrepancy_status")
    }
    assert (data.missing.missing_vima, data.missing.missing_payshack) == (
        rows.get("missing_vima", 0),
        rows.get("missing_payshack", 0),
    )
    assert exposure is not None
    assert Decimal(data.value_at_risk["INR"]) == exposure[0]
    bridge = {line.cause: Decimal(line.amount) for line in data.bridge["INR"]}
    assert [line.cause for line in data.bridge["INR"]][:: len(bridge) - 1] == ["vima_net", "payshack_net"]
    causes = sum(amount for cause, amount in bridge.items() if cause not in ("vima_net", "payshack_net", "residual"))
    assert causes
    assert bridge["vima_net"] - bridge["payshack_net"] == causes
    assert bridge["residual"] == 0


def test_one_date_is_a_span_of_one_day(api: httpx.Client) -> None:
    one = api.get("/reconciliation/summary", params={"date": "2026-01-18"}).json()
    span = api.get("/reconciliation/summary", params={"from_date": "2026-01-18", "to_date": "2026-01-18"}).json()

    assert one == span
    assert api.get("/reconciliation/summary", params={"date": "2026-01-18", "to_date": "2026-01-18"}).status_code == 400
