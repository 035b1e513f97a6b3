"""The invented world is the same for whoever asks, moves only forwards, and lists what each provider would list."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sandbox.answer_key import expected_rows
from pipelines.sandbox.books import PayShackBooks, VimaBooks
from pipelines.sandbox.chance import draw, draws
from pipelines.sandbox.facts import case_of, key_of, operation_id
from pipelines.sandbox.kinds import KINDS
from pipelines.sandbox.moments import instant, texts, to_millis
from pipelines.sandbox.world import NEVER, TABLES, World

ANCHOR = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
LATER = ANCHOR + timedelta(minutes=45)


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=7, orders=2000, anchor=ANCHOR)


def page(world: World, flow: str = "payin", **changes: Any) -> tuple[list[dict[str, Any]], int]:
    asked = {"now": ANCHOR, "page": 1, "limit": 100, "date_from": None, "date_to": None}
    filters = {"status": None, "order_id": None, "transaction_id": None}
    return PayShackBooks(world).payshack_page(flow, **(asked | filters | changes))


def feed(world: World, now: datetime, *, after: int = 0, inclusive: bool = False) -> list[dict[str, Any]]:
    """Everything that the update cursor shows, page by page."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(1000):
        records = [
            json.loads(raw) for raw in VimaBooks(world).changed(now=now, after=after, inclusive=inclusive, count=100)
        ]
        fresh = [record for record in records if record["operation_update_id"] not in found]
        if not fresh:
            return list(found.values())
        found |= {record["operation_update_id"]: record for record in fresh}
        after = int(records[-1]["operation_update_id"])
    raise AssertionError("the feed does not end")


@given(st.integers(0, 2**31), st.integers(0, 2**40), st.text(max_size=8))
def test_one_draw_equals_the_same_draw_in_bulk(seed: int, case: int, stream: str) -> None:
    assert draws(seed, np.array([case], dtype=np.uint64), stream).tolist() == [draw(seed, case, stream)]


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_instants_are_written_as_the_providers_do(moment: datetime) -> None:
    whole = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    assert instant(to_millis(whole)) == whole
    assert [datetime.fromisoformat(f"{text}Z") for text in texts([to_millis(whole), 0])] == [whole, instant(0)]


def test_two_processes_make_the_same_world_however_they_got_there(world: World) -> None:
    hurried, strolling = World(seed=7, orders=2000, anchor=ANCHOR), World(seed=7, orders=2000, anchor=ANCHOR)
    far = ANCHOR + timedelta(hours=30)
    for hours in range(31):
        strolling.reach(ANCHOR + timedelta(hours=hours))
    for table in TABLES:
        assert hurried.records(table, far) == strolling.records(table, far)
    assert World(seed=8, orders=2000, anchor=ANCHOR).records("vima", ANCHOR) != world.records("vima", ANCHOR)


def test_the_live_stream_goes_on_after_the_anchor(world: World) -> None:
    before = {operation_id(record) for record in world.records("vima", ANCHOR)}
    after = {operation_id(record) for record in world.records("vima", LATER)}
    assert before < after
    assert len(after - before) > 100


def test_versions_of_a_record_follow_each_other_in_time(world: World) -> None:
    world.reach(LATER)
    for name in TABLES:
        times = world.table(name).times
        later = times[:, 1:] != NEVER
        assert (times[:, 1:][later] > times[:, :-1][later]).all()
        assert (np.diff(world.table(name).created) >= 0).all()


def test_update_ids_are_unique_and_beyond_what_a_float_can_hold(world: World) -> None:
    ids = world.events().update_id
    assert len(np.unique(ids)) == len(ids)
    assert ids.min() > 2**53


@pytest.mark.parametrize("inclusive", [False, True])
def test_the_feed_shows_each_operation_once_in_its_current_version(world: World, inclusive: bool) -> None:
    shown = Counter(record.get("operation_id") for record in feed(world, LATER, inclusive=inclusive))
    without_id = shown.pop(None, 0)
    assert set(shown.values()) == {1}
    assert len(shown) + without_id == len(world.records("vima", LATER))


def test_the_feed_shows_later_changes_of_what_was_read_before(world: World) -> None:
    read = {record.get("operation_id"): record for record in feed(world, ANCHOR)}
    cursor = max(int(record["operation_update_id"]) for record in read.values())
    news = feed(world, LATER, after=cursor)
    assert any(record.get("operation_id") in read for record in news), "changes of known operations"
    assert any(record.get("operation_id") not in read for record in news), "new operations"


def test_days_hold_every_operation_with_a_creation_time(world: World) -> None:
    found = 0
    for offset in range(40):
        day = date(2025, 12, 10) + timedelta(days=offset)
        found += len(
            VimaBooks(world).created(now=LATER, after=0, inclusive=False, count=10_000, first_day=day, last_day=day)
        )
    timed = [record for record in world.records("vima", LATER) if "no_created" not in record.slot.traits]
    assert found == len(timed)


def test_pages_of_payshack_are_newest_first_and_hold_everything_once(world: World) -> None:
    rows, total = [], 0
    for number in range(1, 100):
        part, total = page(world, now=LATER, page=number)
        rows += part
        if not part:
            break
    created = [row["createdAt"] for row in rows]
    assert created == sorted(created, reverse=True)
    assert len(rows) == total == len(world.records("payshack:payin", LATER))
    ids = [row["txnId"] for row in rows if "txnId" in row]
    assert len(set(ids)) == len(ids)


def test_payshack_filters_by_order_transaction_status_and_day(world: World) -> None:
    record = world.records("payshack:payin", ANCHOR)[100]
    by_order, count = page(world, order_id=key_of(record))
    assert count == len(by_order) >= 1
    assert {row["orderId"] for row in by_order} == {key_of(record)}
    assert page(world, order_id="no such order") == ([], 0)
    row = page(world)[0][0]
    assert page(world, transaction_id=row["txnId"]) == ([row], 1)
    failed, _ = page(world, status="failed")
    assert {row["txnStatus"].lower() for row in failed} == {"failed"}
    day = date(2026, 1, 14)
    rows, _ = page(world, date_from=day, date_to=day)
    assert {row["createdAt"][:10] for row in rows} == {"2026-01-14"}


def test_match_keys_lead_back_to_their_order() -> None:
    assert case_of("1700000000010") == 1
    assert case_of("no digits") is None
    assert case_of("17") is None


def test_the_answer_key_names_every_reconciled_record_once(world: World) -> None:
    rows = list(expected_rows(world, LATER))
    named = Counter(
        name
        for row in rows
        for name in (
            row.vima_transaction_id,
            row.payshack_transaction_id,
            *row.vima_attempt_ids,
            *row.payshack_attempt_ids,
        )
        if name
    )
    assert set(named.values()) == {1}
    assert {row.outcome for row in rows} == {
        None,
        "matched",
        "discrepancy_amount",
        "discrepancy_status",
        "missing_vima",
        "missing_payshack",
    }


EVENTUAL = {
    # What a person expects of a kind in the end, written without the rules: outcome and reason of its first row.
    "paid": ("matched", None),
    "abandoned": ("matched", None),
    "amount under": ("discrepancy_amount", "underpaid"),
    "amount fee": ("discrepancy_amount", "fee_netted"),
    "amount hundredfold": ("discrepancy_amount", "unit_error"),
    "amount other currency": ("discrepancy_amount", "currency_mismatch"),
    "late success": ("discrepancy_status", "late_success"),
    "late success, then Vima follows": ("matched", None),
    "duplicate success at PayShack": ("matched", None),
    "one reference on two payments": ("matched", "duplicate_utr"),
    "key of another project": ("missing_payshack", "key_collision"),
    "key more than a day apart": ("missing_payshack", "key_collision"),
    "one key, in and out": ("matched", None),
    "no key at Vima": ("missing_payshack", "no_key"),
    "Vima amount not exact": ("missing_vima", "counterpart_quarantined"),
    "payin S x F": ("discrepancy_status", "credited_without_money"),
    "payin S x R": ("discrepancy_status", "refund_not_reflected"),
    "payin S x C": ("discrepancy_status", "chargeback_not_reflected"),
    "payin F x R": ("matched", "auto_reversed"),
    "payin F x none": (None, "not_sent"),
    "payout F x S": ("discrepancy_status", "paid_out_though_failed"),
    "payout S x F": ("discrepancy_status", "beneficiary_not_paid"),
    "payout none x S": ("missing_vima", "missing_side"),
}


def test_kinds_end_as_a_person_would_expect() -> None:
    # A year on, every grace is over and every late event has come.
    world = World(seed=3, orders=1000, anchor=ANCHOR, is_live=False)
    first: dict[str, tuple[str | None, list[str]]] = {}
    for row in expected_rows(world, ANCHOR + timedelta(days=365)):
        first.setdefault(row.kind, (row.outcome, row.reasons))
    for kind, (outcome, reason) in EVENTUAL.items():
        assert kind in {known.name for known in KINDS}
        assert first[kind][0] == outcome, kind
        assert reason is None or reason in first[kind][1], kind
