"""The quarantine can be looked into and tried again: what passes today goes to the log, the rest stays and says why."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from pipelines.core.errors import ConflictError, SettingsError
from pipelines.core.settings import Settings
from pipelines.loading import quarantine
from pipelines.loading.quarantine import list_quarantine, replay_quarantine
from pipelines.loading.runs import open_load
from pipelines.loading.vima import load_vima_feed, stored_cursor
from pipelines.sources.vima.schema import OPERATIONS
from tests.integration.loading.conftest import NOW, TinyVima, operation, value, versions

Make = Callable[..., Settings]


@pytest.fixture
def bad(vima: TinyVima, vima_settings: Make) -> Settings:
    """A loaded warehouse with four records in quarantine."""
    vima.rows = [
        operation(1),
        operation(2, complete_amount="much"),
        operation(3, operation_id=None),
        operation(4, contact="cut \ud83d"),
        b'{"operation_id":"9","operation_update_id":"%d","n":1e999999}' % (3 * 10**18 + 5),
    ]
    settings = vima_settings()
    load_vima_feed(settings)
    return settings


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that has been mended: it no longer minds the amount."""
    mended = replace(OPERATIONS, check=lambda payload: None)
    monkeypatch.setitem(quarantine.SPECS, "vima_operations", mended)


def test_what_waits_is_listed_newest_first_without_payloads(bad: Settings) -> None:
    found = list_quarantine(bad)
    assert {one.reason for one in found} == {"broken_number", "unstorable_text", "missing_id", "broken_amount"}
    by_reason = {one.reason: one for one in found}
    assert by_reason["broken_amount"].order_key == "ORDER00000002"
    assert by_reason["broken_amount"].observed_at == NOW
    assert not hasattr(found[0], "payload")
    assert [one.quarantine_id for one in found] == sorted((one.quarantine_id for one in found), reverse=True)


def test_the_list_can_be_narrowed(bad: Settings) -> None:
    assert [one.reason for one in list_quarantine(bad, reason="missing_id")] == ["missing_id"]
    assert len(list_quarantine(bad, limit=2)) == 2
    assert list_quarantine(bad, table="payshack_payins") == []
    with pytest.raises(SettingsError, match="use one of payshack_clients"):
        list_quarantine(bad, table="vima")


def test_what_passes_today_goes_to_the_log_and_the_rest_says_why(
    bad: Settings, lenient: None, db: psycopg.Connection
) -> None:
    before = stored_cursor(bad.psp_database_url.get_secret_value())  # type: ignore[union-attr]
    report = replay_quarantine(bad)
    assert report.replayed == report.rows_new == 2  # the amount, and the text as it was kept
    assert sorted(reason.split(":")[0] for reason in report.refused.values()) == ["broken_number", "missing_id"]
    assert versions(db) == 3
    row = db.execute(
        "select load_mode, observed_at, source_order, payload ->> 'complete_amount' from raw.vima_operations"
        " where order_key = 'ORDER00000002'"
    ).fetchone()
    assert row == ("replay", NOW, 3 * 10**18 + 2, "much")
    assert value(db, "select count(*) from raw.quarantine where replayed_at = %s", NOW) == 2
    assert value(db, "select payload ->> 'contact' from raw.vima_operations where record_id like %s", "%4") == "cut �"
    assert stored_cursor(bad.psp_database_url.get_secret_value()) == before  # type: ignore[union-attr]


def test_replaying_again_adds_nothing(bad: Settings, lenient: None, db: psycopg.Connection) -> None:
    replay_quarantine(bad)
    again = replay_quarantine(bad)
    assert (again.replayed, again.rows_new, len(again.refused)) == (0, 0, 2)
    assert versions(db) == 3
    assert len(list_quarantine(bad)) == 2
    assert len(list_quarantine(bad, with_replayed=True)) == 4


def test_only_the_named_records_are_tried(bad: Settings, lenient: None) -> None:
    (one,) = list_quarantine(bad, reason="broken_amount")
    report = replay_quarantine(bad, quarantine_ids=[one.quarantine_id])
    assert (report.replayed, report.refused) == (1, {})
    assert replay_quarantine(bad, table="payshack_payins").refused == {}
    assert replay_quarantine(bad, quarantine_ids=[]).refused == {}


def test_under_the_same_contract_nothing_that_is_wrong_passes(bad: Settings, db: psycopg.Connection) -> None:
    report = replay_quarantine(bad)
    assert report.replayed == 1  # the text that could not be stored, as it was kept
    assert len(report.refused) == 3
    assert versions(db) == 2


def test_a_record_that_came_well_in_the_meantime_is_not_doubled(
    bad: Settings, lenient: None, vima: TinyVima, db: psycopg.Connection
) -> None:
    kept = json.loads(json.dumps(operation(2, complete_amount="much")))
    vima.rows = [kept | {"operation_update_id": str(3 * 10**18 + 2)}]
    replay_quarantine(bad)
    count = versions(db)
    db.execute("update raw.quarantine set replayed_at = null")
    assert replay_quarantine(bad).rows_new == 0
    assert versions(db) == count


def test_many_records_are_replayed_in_chunks(
    vima: TinyVima, vima_settings: Make, lenient: None, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "REPLAY_CHUNK", 7)
    vima.rows = [operation(number, complete_amount="much" if number % 2 else 5) for number in range(60)]
    vima.rows += [operation(number, operation_id=None) for number in range(60, 70)]
    settings = vima_settings()
    load_vima_feed(settings)
    report = replay_quarantine(settings)
    assert (report.replayed, len(report.refused)) == (30, 10)
    assert versions(db) == 60


def test_two_replays_at_once_are_one_and_a_clear_no(bad: Settings) -> None:
    with open_load(bad, source="vima", mode="replay", scope="quarantine"), pytest.raises(ConflictError):
        replay_quarantine(bad, table="vima_operations")


def test_a_replay_is_written_down_like_any_load(bad: Settings, lenient: None, db: psycopg.Connection) -> None:
    replay_quarantine(bad, table="vima_operations")
    row: Any = db.execute("select status, rows_read, rows_new from raw.load_runs where mode = 'replay'").fetchone()
    assert row == ("succeeded", 4, 2)
