"""Numbers of the metrics against the facts, summed here by another way."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

INDIA = timedelta(hours=5, minutes=30)
CUT = timedelta(hours=3)
CLOCKS = {"utc": timedelta(0), "business": INDIA, "settlement": INDIA + CUT}
SUCCEEDED = ("success", "refunded", "chargeback")

Sums = dict[tuple[Any, ...], list[Decimal]]


def added(sums: Sums, key: tuple[Any, ...], *values: Any) -> None:
    """Add to the sums under a key."""
    known = sums.setdefault(key, [Decimal(0)] * len(values))
    for number, value in enumerate(values):
        known[number] += Decimal(value or 0)


@pytest.fixture
def rows(loaded_settings: Settings) -> Any:
    """Rows of a statement, as psp_reader reads them."""
    with connect(database_url(loaded_settings), role=READER) as connection:
        yield lambda statement, *values: connection.execute(statement, values or None).fetchall()


def test_days_of_all_three_clocks_are_sums_over_the_transactions(rows: Any) -> None:
    facts = rows(
        "select source, coalesce(project, 'unknown'), flow, coalesce(payment_method, 'unknown'),"
        " coalesce(currency, 'unknown'), status, coalesce(created_at, first_seen_at), amount, fee"
        " from marts.fct_transactions"
    )
    assert len(facts) > 5000
    for clock, offset in CLOCKS.items():
        expected: Sums = {}
        for source, project, flow, method, currency, status, at, amount, fee in facts:
            paid = status in SUCCEEDED
            added(
                expected,
                ((at + offset).date(), source, project, flow, method, currency),
                *(1, paid, status == "failed", status == "pending", status == "expired"),
                *(amount, amount if paid else 0, fee if paid else 0),
            )
        found: Sums = {}
        for *key, created, success, failed, pending, expired, amount, paid_amount, fee in rows(
            "select day, source, project, flow, payment_method, currency, created_count, success_count, failed_count,"
            " pending_count, expired_count, created_amount, success_amount, fee_amount"
            " from marts.rpt_metrics_by_clock where clock = %s",
            clock,
        ):
            added(found, tuple(key), created, success, failed, pending, expired, amount, paid_amount, fee)
        assert found == expected, clock
        # The clocks really cut differently.
        assert len({key[0] for key in expected}) > 10


def test_hours_of_both_clocks_are_sums_over_the_transactions(rows: Any) -> None:
    facts = rows("select source, status, coalesce(created_at, first_seen_at), amount from marts.fct_transactions")
    for clock, offset in (("utc", timedelta(0)), ("business", INDIA)):
        expected: Sums = {}
        for source, status, at, amount in facts:
            hour = (at + offset).replace(minute=0, second=0, microsecond=0) - offset
            added(expected, (hour, source), 1, status in SUCCEEDED, amount)
        found: Sums = {}
        for hour, source, created, success, amount in rows(
            "select hour_at, source, created_count, success_count, created_amount from marts.fct_metrics_hourly"
            " where clock = %s",
            clock,
        ):
            added(found, (hour, source), created, success, amount)
        assert found == expected, clock


def test_breakdowns_are_sums_over_the_same_transactions(rows: Any) -> None:
    """By merchant, country and failure; each drops nothing and doubles nothing."""
    expected: Sums = {}
    failures: Sums = {}
    for source, merchant, country, status, raw, day, amount in rows(
        "select source, coalesce(merchant, 'unknown'), coalesce(country, 'unknown'), status,"
        " coalesce(status_raw, 'unknown'), business_date, amount from marts.fct_transactions"
    ):
        added(expected, ("merchant", source, merchant, day), 1, amount)
        added(expected, ("country", source, country, day), 1, amount)
        if status in ("failed", "expired"):
            added(failures, (source, status, raw, day), 1, amount)
    found: Sums = {}
    for name, mart in (("merchant", "rpt_merchants_daily"), ("country", "rpt_countries_daily")):
        for source, value, day, count, amount in rows(
            f"select source, {name}, business_date, created_count, created_amount from marts.{mart}"  # noqa: S608
        ):
            added(found, (name, source, value, day), count, amount)
    assert found == expected
    found_failures: Sums = {}
    for source, status, raw, day, count, amount in rows(
        "select source, status, status_raw, business_date, failed_count, failed_amount from marts.rpt_failures"
    ):
        added(found_failures, (source, status, raw, day), count, amount)
    assert found_failures == failures
    assert {key[1] for key in failures} == {"failed", "expired"}
    # Each payment is in the one band that holds its amount.
    bands = rows(
        "select sum(created_count), sum(created_amount) from marts.rpt_amount_bands_daily"
        " where amount_band_name = '100 to under 500'"
    )
    facts = rows("select count(*), sum(amount) from marts.fct_transactions where amount >= 100 and amount < 500")
    assert bands == facts


def test_breaks_of_the_heatmap_are_those_of_the_reconciliation(rows: Any) -> None:
    expected: Sums = {}
    for flow, project, day, at, exposure in rows(
        "select flow, project, business_date, event_at, case when reconciliation_id in (select reconciliation_id"
        " from marts.fct_breaks where decision is not null) then 0 else exposure end from marts.fct_reconciliation"
        " where outcome is not null and outcome <> 'matched'"
    ):
        hour = (at + INDIA).replace(minute=0, second=0, microsecond=0) - INDIA
        added(expected, (project, flow, day, hour), 1, exposure)
    found: Sums = {}
    for project, flow, day, hour, breaks, exposure in rows(
        "select project, flow, business_date, hour_at, break_count, value_at_risk from marts.fct_reconciliation_hourly"
        " where break_count > 0"
    ):
        added(found, (project, flow, day, hour), breaks, exposure)
    assert found == expected
    shown = rows(
        "select sum(break_count) from marts.rpt_hourly_heatmap where source = 'vima' and project = '91game'"
        " and currency = 'INR'"
    )
    assert 0 < shown[0][0] <= sum(values[0] for values in expected.values())


def test_the_bank_is_known_by_its_handle(rows: Any) -> None:
    handles = dict(
        rows("select bank_handle, sum(failed_count) from marts.rpt_failures where source = 'payshack' group by 1")
    )
    assert handles["upi"] > 100
