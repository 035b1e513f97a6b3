"""PayShack through a real browser and a real wire into a real PostgreSQL, whatever the lists do meanwhile."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pipelines.core.errors import CipherError, SourceUnavailable
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from pipelines.loading.news import payshack_has_news
from pipelines.loading.payshack import load_payshack_feed, load_payshack_sweep, load_payshack_window
from pipelines.sources.common import transport
from tests.integration.payshack.conftest import DAY, NOW, Sandbox, payin

Start = Callable[..., Sandbox]
START = datetime.combine(DAY, datetime.min.time(), UTC)


@pytest.fixture
def db(warehouse: str) -> Any:
    with connect(warehouse, autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings_of(warehouse: str) -> Callable[..., Settings]:
    def make(sandbox: Sandbox, **changes: str) -> Settings:
        return sandbox.settings(PSP_DATABASE_URL=warehouse, **changes)

    return make


def count(db: psycopg.Connection, table: str) -> int:
    row = db.execute(f"select count(*) from raw.{table}".encode()).fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])


def value(db: psycopg.Connection, statement: str) -> Any:
    row = db.execute(statement.encode()).fetchone()
    return None if row is None else row[0]


def days_asked(sandbox: Sandbox) -> set[str]:
    return {str(asked["date_from"]) for asked in sandbox.world.asked if asked["date_from"] is not None}


@pytest.mark.parametrize("envelope", ["plain", "passphrase", "merchant", "mixed"])
@pytest.mark.parametrize("transport_name", ["http", "browser"])
def test_every_envelope_over_both_transports(
    start_sandbox: Start,
    settings_of: Callable[..., Settings],
    db: psycopg.Connection,
    envelope: str,
    transport_name: str,
) -> None:
    sandbox = start_sandbox(envelope=envelope)
    sandbox.world.payins[7]["payerName"] = "Zoë 😀"
    settings = settings_of(sandbox, PAYSHACK_TRANSPORT=transport_name)
    report = load_payshack_feed(settings)
    assert count(db, "payshack_payins") == 250
    assert count(db, "payshack_payouts") == 120
    assert count(db, "payshack_clients") == count(db, "payshack_resellers") == 3
    assert count(db, "payshack_service_providers") == 3
    assert value(db, "select payload ->> 'payerName' from raw.payshack_payins where record_id like '%07'") == "Zoë 😀"
    assert report.watermarks == {"payin": NOW, "payout": NOW}
    again = load_payshack_feed(settings)
    assert not again.changed
    assert count(db, "source_cursors") == 0  # PayShack has none


def test_the_first_load_reads_every_day_and_later_ones_only_the_look_back(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    sandbox.world.payins.append(payin(900, START - timedelta(days=9)))
    settings = settings_of(sandbox, PAYSHACK_LOOKBACK_DAYS="1")
    load_payshack_feed(settings)
    assert days_asked(sandbox) == {(DAY - timedelta(days=age)).isoformat() for age in range(-1, 10)}
    sandbox.world.asked.clear()
    load_payshack_feed(settings)
    assert days_asked(sandbox) == {"2026-01-14", "2026-01-15"}


def test_a_first_load_that_dies_goes_on_at_the_day_where_it_stopped(
    start_sandbox: Start,
    settings_of: Callable[..., Settings],
    db: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport.PoliteTransport, "_wait", lambda self, state: 0.0)
    sandbox = start_sandbox()
    sandbox.world.payins += [payin(900 + age, START - timedelta(days=age)) for age in range(1, 10)]
    settings = settings_of(sandbox, PAYSHACK_LOOKBACK_DAYS="0")

    def fail(number: int) -> None:
        if sandbox.world.asked[-1]["date_from"] == date(2026, 1, 9):
            raise RuntimeError("down")

    sandbox.world.before_page = fail
    with pytest.raises(SourceUnavailable, match="HTTP 500"):
        load_payshack_feed(settings)
    assert value(db, "select count(*) from raw.source_watermarks") == 0
    assert count(db, "payshack_payins") == 4
    sandbox.world.before_page = None
    sandbox.world.asked.clear()
    load_payshack_feed(settings)
    assert min(days_asked(sandbox)) == "2026-01-09"
    assert count(db, "payshack_payins") == 259


def test_a_day_that_shifts_is_read_until_it_stands_still(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    world = sandbox.world

    def shift(number: int) -> None:
        asked = world.asked[-1]
        if asked["flow"] == "payin" and asked["page"] == 2 and len(world.payins) < 260:
            world.payins.append(payin(5000 + number, START + timedelta(seconds=number)))
            world.payins.pop(100)

    world.before_page = shift
    load_payshack_window(settings_of(sandbox), DAY)
    known = {row[0] for row in db.execute("select record_id from raw.payshack_payins")}
    assert known >= {row["txnId"] for row in world.payins}
    total, distinct = db.execute(
        "select total_records, distinct_records from raw.window_passes where stream = 'payshack_payins'"
    ).fetchone()  # type: ignore[misc]
    assert total == distinct == len(world.payins)


def test_a_day_that_never_stands_still_is_kept_told_and_does_not_stop_the_rest(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    world = sandbox.world

    def shift(number: int) -> None:
        if world.asked[-1]["flow"] == "payin" and world.asked[-1]["date_from"] == DAY:
            world.payins.append(payin(5000 + number, START + timedelta(seconds=number)))

    world.before_page = shift
    with pytest.raises(SourceUnavailable, match=r"payin listing of 2026-01-14 does not stand still: \d+ distinct"):
        load_payshack_feed(settings_of(sandbox))
    assert count(db, "payshack_payins") >= 250
    assert count(db, "payshack_payouts") == 120
    assert count(db, "payshack_clients") == 3
    assert [row[0] for row in db.execute("select flow from raw.source_watermarks")] == ["payout"]
    assert value(db, "select error from raw.load_runs").startswith("PayShack's payin listing")


def test_today_ends_however_busy_it_is(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    world, today = sandbox.world, NOW.date()
    begin = datetime.combine(today, datetime.min.time(), UTC)
    world.payins = [payin(number, begin + timedelta(minutes=2 * number)) for number in range(300)]

    def arrive(number: int) -> None:
        if world.asked[-1]["flow"] == "payin":
            for more in range(5):
                world.payins.append(payin(10_000 + 10 * number + more, NOW + timedelta(milliseconds=number)))

    world.before_page = arrive
    report = load_payshack_feed(settings_of(sandbox))
    assert "payin" in report.watermarks
    assert count(db, "payshack_payins") >= 300


def test_late_changes_within_the_look_back_become_versions(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    settings = settings_of(sandbox)
    load_payshack_feed(settings)
    sandbox.world.payins[3] |= {"txnStatus": "Refunded", "modifiedAt": "2026-01-15T11:00:00.000Z"}
    assert load_payshack_feed(settings).rows_new == 1
    assert count(db, "payshack_payins") == 251


def test_an_old_refund_is_found_by_the_sweep_which_goes_on_after_an_interruption(
    start_sandbox: Start,
    settings_of: Callable[..., Settings],
    db: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport.PoliteTransport, "_wait", lambda self, state: 0.0)
    sandbox = start_sandbox()
    world = sandbox.world
    world.payins.append(payin(900, START - timedelta(days=20)))
    load_payshack_feed(settings_of(sandbox, PAYSHACK_LOOKBACK_DAYS="1"))
    world.payins[-1] |= {"txnStatus": "Cb_Refunded", "modifiedAt": "2026-01-15T11:00:00.000Z"}
    night = NOW + timedelta(hours=10)
    settings = settings_of(sandbox, PSP_NOW=night.isoformat(), PAYSHACK_SWEEP_DAYS="25")
    assert not load_payshack_feed(settings).changed  # too old for the look-back

    def fail(number: int) -> None:
        if world.asked[-1]["date_from"] == date(2026, 1, 5):
            raise RuntimeError("down")

    world.before_page = fail
    with pytest.raises(SourceUnavailable):
        load_payshack_sweep(settings, since=night)
    world.before_page = None
    world.asked.clear()
    report = load_payshack_sweep(settings, since=night)
    assert report.rows_new == 1
    payin_days = {str(asked["date_from"]) for asked in world.asked if asked["flow"] == "payin"}
    assert max(payin_days) == "2026-01-05"
    assert min(payin_days) == "2025-12-25", "nothing was created before the first record"
    world.asked.clear()
    load_payshack_sweep(settings, since=night)
    assert world.asked == []


def test_open_breaks_of_old_days_are_asked_for_by_order(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    world = sandbox.world
    old = [payin(900 + number, START - timedelta(days=20)) for number in range(5)]
    world.payins += old
    settings = settings_of(sandbox, PAYSHACK_RECHECK_LIMIT="3")
    load_payshack_feed(settings)
    db.execute(
        "create table marts.fct_reconciliation (flow text, order_key text, outcome text, comparability text,"
        " event_at timestamptz); grant select on marts.fct_reconciliation to psp_reader"
    )
    for row in old:
        db.execute(
            "insert into marts.fct_reconciliation values ('payin', %s, 'discrepancy_status', 'comparable', %s)",
            (row["orderId"], row["createdAt"]),
        )
        row |= {"txnStatus": "Failed", "modifiedAt": "2026-01-15T11:00:00.000Z"}
    report = load_payshack_feed(settings)
    assert (report.orders_due, report.orders_rechecked, report.rows_new) == (5, 3, 3)
    report = load_payshack_feed(settings)
    assert (report.orders_due, report.orders_rechecked, report.rows_new) == (5, 3, 2)
    assert value(db, "select count(*) from raw.payshack_payins where load_mode = 'recheck'") == 5
    off = settings_of(sandbox, PAYSHACK_RECHECK_LIMIT="0")
    assert load_payshack_feed(off).orders_rechecked == 0


def test_a_record_of_a_wrong_century_costs_neither_the_rest_nor_a_request_a_day(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.loading.payshack.HISTORY_DAYS_LIMIT", 5)
    sandbox = start_sandbox()
    sandbox.world.payins.append(payin(900, datetime(1970, 1, 1, tzinfo=UTC)))
    load_payshack_feed(settings_of(sandbox))
    assert count(db, "payshack_payins") == 251
    assert len(days_asked(sandbox)) < 10


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_provider_whose_clock_is_a_day_off_is_read_to_its_newest_record(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection, hours: int
) -> None:
    sandbox = start_sandbox()
    sandbox.world.payins = [payin(number, NOW + timedelta(hours=hours, minutes=number)) for number in range(5)]
    sandbox.world.payouts = []
    load_payshack_feed(settings_of(sandbox))
    assert count(db, "payshack_payins") == 5
    assert value(db, "select count(*) from raw.source_watermarks") == 2


def test_an_empty_provider_is_complete(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    sandbox.world.payins, sandbox.world.payouts = [], []
    report = load_payshack_feed(settings_of(sandbox))
    assert report.watermarks == {"payin": NOW, "payout": NOW}


def test_malformed_records_wait_in_quarantine_and_the_rest_loads(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox(envelope="passphrase")
    sandbox.world.payins += [
        payin(800, START, amount="1_00"),
        payin(801, START, txnId=None),
        payin(802, START, completedAt="never"),
        payin(803, START, payerName="\0"),
        payin(804, START, txnStatus="A New Word", clientName="NOBODY_KNOWS"),
    ]
    report = load_payshack_feed(settings_of(sandbox))
    assert report.rows_quarantined == 4
    assert count(db, "payshack_payins") == 251
    assert {row[0] for row in db.execute("select reason from raw.quarantine")} == {
        "broken_amount",
        "missing_id",
        "unparseable_time",
        "unstorable_text",
    }
    assert "payin" in report.watermarks


def test_a_changed_cipher_key_is_told_and_loads_nothing(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox(envelope="passphrase")
    sandbox.write_state(response_secret="another-invented-secret")
    with pytest.raises(CipherError, match=r"passphrase form.*PAYSHACK_RESPONSE_SECRET") as caught:
        load_payshack_feed(settings_of(sandbox))
    assert "another-invented-secret" not in str(caught.value)
    assert count(db, "payshack_payins") == 0


def test_a_session_that_expires_in_the_middle_of_a_load_goes_unnoticed(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    expired = []

    def expire(number: int) -> None:
        if number in (4, 6):
            sandbox.expire_tokens()
            expired.append(number)

    sandbox.world.before_page = expire
    load_payshack_feed(settings_of(sandbox))
    assert expired == [4, 6]
    assert count(db, "payshack_payins") == 250
    assert count(db, "payshack_payouts") == 120


def test_balances_are_kept_whenever_they_are_read(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    read = ["12.50", "13.00", "12.50", "12.50", "n/a"]
    for minute, balance in enumerate(read):
        sandbox.world.balance = balance
        load_payshack_feed(settings_of(sandbox, PSP_NOW=(NOW + timedelta(minutes=minute)).isoformat()))
    assert count(db, "payshack_clients") == 9, "a balance that stands still or comes back is no new version"
    snapshots = db.execute(
        "select snapshots.balance, snapshots.observed_at, clients.payload ->> 'balance', snapshots.loaded_xid"
        " from raw.payshack_balance_snapshots as snapshots inner join raw.payshack_clients as clients"
        " on clients.record_id = snapshots.client_id and clients.content_hash = snapshots.content_hash"
        " where snapshots.client_id = 'clients-0' order by snapshots.observed_at"
    ).fetchall()
    amounts = [*map(Decimal, read[:4]), None]
    assert [(balance, at, said) for balance, at, said, _ in snapshots] == [
        (balance, NOW + timedelta(minutes=minute), said)
        for minute, (balance, said) in enumerate(zip(amounts, read, strict=True))
    ]
    assert len({xid for *_, xid in snapshots}) == len(read), "each reading is news to the models"


def test_news_is_a_newer_record_or_another_number_of_them(
    start_sandbox: Start, settings_of: Callable[..., Settings], db: psycopg.Connection
) -> None:
    sandbox = start_sandbox()
    settings = settings_of(sandbox)
    assert payshack_has_news(settings) is None  # nobody is signed in, and a look does not sign in
    load_payshack_feed(settings)
    assert payshack_has_news(settings) is False
    sandbox.world.payins[-1]["modifiedAt"] = "2026-01-15T11:00:00.000Z"
    assert payshack_has_news(settings) is True
    load_payshack_feed(settings)
    assert payshack_has_news(settings) is False
    sandbox.world.payouts.append(payin(7000, START))
    assert payshack_has_news(settings) is True
    sandbox.world.payouts[-1]["createdAt"] = "never"
    assert payshack_has_news(settings) is True
    sandbox.expire_tokens()
    assert payshack_has_news(settings) is None
