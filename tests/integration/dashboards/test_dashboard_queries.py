"""Every query of every dashboard runs over real marts with every filter, and its numbers are the facts' numbers."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.dashboards.deploy import card_named
from pipelines.dashboards.entities import Content
from pipelines.dashboards.files import load_content
from pipelines.dashboards.run_check import RunCheck
from pipelines.dashboards.warehouse import business_today, reading, run_card


@pytest.fixture(scope="module")
def content() -> Content:
    return load_content()


@pytest.fixture
def marts(loaded_settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with reading(loaded_settings) as connection:
        yield connection


def test_every_card_runs_with_every_filter_empty_set_and_multi_valued(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    check = RunCheck(marts, content, business_today(loaded_settings))
    check.cards()
    assert check.report.problems == []
    assert check.report.statements > 5 * len(content.cards)


def test_a_column_that_is_not_there_and_a_query_that_fails_are_found(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    good = card_named(content, "payments_by_day")
    renamed = replace(good, entity_id="a", sql=good.sql.replace('"Failed"', '"Fell"'))
    broken = replace(good, entity_id="b", sql=good.sql.replace("failed_count", "fail_count"))
    check = RunCheck(
        marts, replace(content, cards={"a": renamed, "b": broken}, dashboards={}), business_today(loaded_settings)
    )
    check.cards()
    assert any("graph.metrics names Failed, which the query does not return" in line for line in check.report.problems)
    assert any('column "fail_count" does not exist' in line for line in check.report.problems)


@pytest.mark.parametrize(("limit", "words"), [(None, "read-only|permission denied"), (10, 'at or near "create"')])
def test_nothing_can_be_written_through_a_card(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings, limit: int | None, words: str
) -> None:
    good = card_named(content, "as_of")
    bad = replace(good, sql="create table marts.x (y int)")
    with pytest.raises(DashboardError, match=words):
        run_card(marts, bad, {}, business_today(loaded_settings), limit=limit)


@pytest.mark.parametrize(
    ("card", "values", "truth"),
    [
        (
            "payments_created",
            {"source": ["vima"], "period": ["past14days~"]},
            "select count(*) from marts.fct_transactions"
            " where source = 'vima' and business_date between %(today)s - 14 and %(today)s",
        ),
        (
            "payments_successful",
            {"project": ["91game", "monetix"]},
            "select count(*) from marts.fct_transactions"
            " where project in ('91game', 'monetix') and status in ('success', 'refunded', 'chargeback')",
        ),
        (
            "rec_comparable",
            {"flow": ["payin"]},
            "select count(*) from marts.fct_reconciliation where flow = 'payin' and comparability = 'comparable'",
        ),
        (
            "rec_match_rate",
            {},
            "select count(*) filter (where outcome = 'matched')::numeric"
            " / count(*) filter (where comparability = 'comparable') from marts.fct_reconciliation",
        ),
        (
            "rec_breaks",
            {"project": ["91game"]},
            "select count(*) from marts.fct_reconciliation"
            " where project = '91game' and comparability = 'comparable' and outcome <> 'matched'",
        ),
        (
            "transactions_count",
            {"status": ["failed", "expired"], "source": ["payshack"], "period": ["2025-01-01~2027-12-31"]},
            "select count(*) from marts.fct_transactions where status in ('failed', 'expired') and source = 'payshack'",
        ),
        ("quality_residual", {}, "select 0"),
    ],
)
def test_numbers_are_those_of_the_facts(
    content: Content,
    marts: psycopg.Connection[Any],
    loaded_settings: Settings,
    card: str,
    values: dict[str, list[str]],
    truth: str,
) -> None:
    today = business_today(loaded_settings)
    found = run_card(marts, card_named(content, card), values, today)
    expected = marts.execute(truth, {"today": today}).fetchone()
    assert expected is not None
    assert found.rows[0][0] == expected[0]
    assert expected[0] or card == "quality_residual"


def test_money_is_that_of_the_facts_by_currency(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    found = run_card(
        marts, card_named(content, "money_by_currency"), {"source": ["vima"]}, business_today(loaded_settings)
    )
    rows = {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}
    truth = marts.execute(
        """
        select coalesce(currency, 'unknown'), sum(amount), coalesce(sum(fee), 0)
        from marts.fct_transactions
        where source = 'vima' and status in ('success', 'refunded', 'chargeback')
        group by 1
        """
    ).fetchall()
    assert truth
    for currency, paid, fees in truth:
        assert (rows[currency]["success_amount"], rows[currency]["fees"]) == (paid, fees)
    at_risk = run_card(marts, card_named(content, "at_risk_by_currency"), {}, business_today(loaded_settings))
    expected = dict(
        marts.execute(
            "select coalesce(currency, 'unknown'), sum(exposure) from marts.fct_reconciliation group by 1"
        ).fetchall()
    )
    assert {row[0]: row[2] for row in at_risk.rows} == {row[0]: expected[row[0]] for row in at_risk.rows}


def test_the_bridge_leads_from_one_net_to_the_other(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    found = run_card(marts, card_named(content, "bridge"), {}, business_today(loaded_settings))
    by_currency: dict[str, dict[str, Any]] = {}
    for line, currency, amount, _ in found.rows:
        by_currency.setdefault(currency, {})[line] = amount
    assert by_currency
    for lines in by_currency.values():
        causes = sum(amount for line, amount in lines.items() if line.startswith("less: "))
        assert lines["Vima net"] - causes == lines["PayShack net"]
        assert lines["Residual"] == 0


def test_a_payment_shows_itself_and_its_other_side(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    pair = marts.execute(
        "select vima_transaction_id, payshack_transaction_id from marts.fct_reconciliation"
        " where outcome = 'matched' and vima_transaction_id is not null and payshack_transaction_id is not null limit 1"
    ).fetchone()
    assert pair is not None
    run: Callable[[str], Any] = lambda name: run_card(  # noqa: E731 - four cards, one payment
        marts, card_named(content, name), {"payment": [pair[0]]}, business_today(loaded_settings)
    )
    assert set(run("payment_facts").values("transaction_id")) >= set(pair)
    assert set(run("payment_timeline").values("transaction_id")) >= set(pair)
    assert run("payment_reconciliation").values("outcome") == ["matched"]
    assert all(re.fullmatch(r"[0-9a-f]{16,}", text) for text in run("payment_raw").values("content_hash"))
    nobody = run_card(marts, card_named(content, "payment_facts"), {}, business_today(loaded_settings))
    assert nobody.rows == []


CLOCKS = {"utc": timedelta(0), "business": timedelta(hours=5, minutes=30), "settlement": timedelta(hours=8, minutes=30)}
"""What is added to UTC so that midnight ends the day of the clock; the settlement day ends at 21:00 in India."""

PAID = ("success", "refunded", "chargeback")


def test_days_of_all_three_clocks_are_those_of_the_facts(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    today = business_today(loaded_settings)
    facts = marts.execute(
        "select coalesce(created_at, first_seen_at), status from marts.fct_transactions where source = 'vima'"
    ).fetchall()
    found = run_card(marts, card_named(content, "days_by_clock"), {"source": ["vima"]}, today)
    assert facts
    for clock, offset in CLOCKS.items():
        created = Counter((at + offset).astimezone(UTC).date() for at, _ in facts)
        paid = Counter((at + offset).astimezone(UTC).date() for at, status in facts if status in PAID)
        for column, expected in ((f"created_{clock}", created), (f"success_{clock}", paid)):
            told = dict(zip(found.values("day"), found.values(column), strict=True))
            assert {day: int(count) for day, count in told.items() if count} == expected, column


def test_sums_over_hours_banks_bands_and_breaks_are_those_of_the_facts(
    content: Content, marts: psycopg.Connection[Any], loaded_settings: Settings
) -> None:
    today = business_today(loaded_settings)

    def cells(card: str) -> Any:
        rows = run_card(marts, card_named(content, card), {"source": ["vima"]}, today).rows
        return sum(value for row in rows for value in row if isinstance(value, Decimal | int))

    def one(statement: str) -> Any:
        row = marts.execute(statement).fetchone()
        assert row is not None
        return row[0]

    vima = "from marts.fct_transactions where source = 'vima'"
    assert cells("heat_payments") == one(f"select count(*) {vima}")
    largest = one(f"select currency {vima} group by currency order by count(*) desc limit 1")
    assert cells("heat_amount") * 1000 == one(
        f"select sum(amount) {vima} and currency = '{largest}' and status in ('success', 'refunded', 'chargeback')"
    )
    banks = run_card(marts, card_named(content, "failures_by_bank"), {}, today)
    failures = dict.fromkeys(banks.values("source"), 0)
    for source, count in zip(banks.values("source"), banks.values("failures"), strict=True):
        failures[source] += int(count)
    assert failures == dict(
        marts.execute(
            "select source, count(*) from marts.fct_transactions where status in ('failed', 'expired') group by source"
        ).fetchall()
    )
    bands = run_card(marts, card_named(content, "merchant_bands"), {"source": ["vima"]}, today)
    assert sum(bands.values("created")) == one(f"select count(*) {vima}")
    disagree = "from marts.fct_reconciliation where comparability = 'comparable' and outcome <> 'matched'"
    # One reference used twice is worked on although the order itself agrees.
    broken = (
        "from marts.fct_reconciliation where comparability = 'comparable'"
        " and (outcome <> 'matched' or 'duplicate_utr' = any(reasons))"
    )
    assert run_card(marts, card_named(content, "work_count"), {}, today).values("value") == [
        one(f"select count(*) {broken}")
    ]
    reasons = run_card(marts, card_named(content, "work_by_reason"), {}, today)
    assert sum(reasons.values("at_risk")) == one(f"select sum(exposure) {broken}")
    days = run_card(marts, card_named(content, "outcomes_by_day"), {}, today)
    at = days.columns.index("business_date")
    told = {row[at]: sum(value for place, value in enumerate(row) if place != at) for row in days.rows}
    assert {day: int(count) for day, count in told.items() if count} == dict(
        marts.execute(f"select business_date, count(*) {disagree} group by business_date").fetchall()
    )
