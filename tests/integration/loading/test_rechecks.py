"""Orders with an open break get their turn to be asked for again: all of them, the longest unseen first."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from pipelines.core.settings import Settings
from pipelines.loading.rechecks import note_rechecked, orders_to_recheck
from tests.integration.loading.conftest import NOW

LOOK_BACK = date(2026, 1, 12)
OLD = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def mart(db: psycopg.Connection) -> psycopg.Connection:
    """The reconciliation's columns that matter here."""
    db.execute(
        "create table marts.fct_reconciliation (flow text, order_key text, outcome text, comparability text,"
        " event_at timestamptz); grant select on marts.fct_reconciliation to psp_reader"
    )
    return db


def put(
    mart: psycopg.Connection,
    key: str | None,
    outcome: str | None = "missing_payshack",
    comparability: str = "comparable",
    *,
    at: datetime = OLD,
    flow: str = "payin",
) -> None:
    mart.execute(
        "insert into marts.fct_reconciliation values (%s, %s, %s, %s, %s)", (flow, key, outcome, comparability, at)
    )


def due(warehouse: str, flow: str = "payin") -> list[str]:
    return orders_to_recheck(warehouse, "payshack", flow, older_than=LOOK_BACK)


def test_before_any_model_has_run_nothing_is_due(warehouse: str) -> None:
    assert due(warehouse) == []


def test_open_and_in_flight_orders_that_the_look_back_does_not_show(warehouse: str, mart: psycopg.Connection) -> None:
    put(mart, "open")
    put(mart, "status", "discrepancy_status")
    put(mart, "flying", None, "in_flight")
    put(mart, "matched", "matched")
    put(mart, "waiting", None, "not_yet_comparable")
    put(mart, "info", None, "informational")
    put(mart, None)
    put(mart, "recent", at=datetime(2026, 1, 12, tzinfo=UTC))
    put(mart, "last moment", at=datetime(2026, 1, 11, 23, 59, 59, tzinfo=UTC))
    put(mart, "open", "discrepancy_amount")
    put(mart, "payout", flow="payout")
    assert set(due(warehouse)) == {"open", "status", "flying", "last moment"}
    assert due(warehouse, "payout") == ["payout"]


def test_each_gets_its_turn_oldest_first(warehouse: str, mart: psycopg.Connection) -> None:
    for number in range(6):
        put(mart, f"O{number}", at=OLD + timedelta(hours=number))
    seen: list[str] = []
    for turn in range(4):
        asked = due(warehouse)[:2]
        note_rechecked(warehouse, "payshack", "payin", asked, NOW + timedelta(minutes=turn))
        seen += asked
    assert seen == ["O0", "O1", "O2", "O3", "O4", "O5", "O0", "O1"]


def test_the_other_flow_has_its_own_turns(warehouse: str, mart: psycopg.Connection) -> None:
    for flow in ("payin", "payout"):
        put(mart, "A", flow=flow)
        put(mart, "B", flow=flow, at=OLD + timedelta(hours=1))
    note_rechecked(warehouse, "payshack", "payin", ["A"], NOW)
    assert due(warehouse) == ["B", "A"]
    assert due(warehouse, "payout") == ["A", "B"]


def test_the_real_reconciliation_has_these_columns(loaded_settings: Settings) -> None:
    assert loaded_settings.psp_database_url is not None
    url = loaded_settings.psp_database_url.get_secret_value()
    found = orders_to_recheck(url, "payshack", "payin", older_than=date(2026, 1, 15))
    assert len(found) == len(set(found)) > 0
