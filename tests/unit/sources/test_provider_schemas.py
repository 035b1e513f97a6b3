"""What each provider's record means: identity, key, order, volatile fields, and what makes it untrustworthy."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipelines.sources.common.records import Provenance, build_page, parse_payload
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS, client_balance
from pipelines.sources.vima.schema import OPERATIONS, order_number

SEEN = Provenance(observed_at=datetime(2026, 1, 15, tzinfo=UTC), load_mode="feed", load_scope="x", load_page=1)
SPECS = {"vima": OPERATIONS, **TRANSACTIONS, **DIRECTORY_SPECS}


def operation(**fields: Any) -> dict[str, Any]:
    known = {"operation_id": "9", "operation_update_id": "10", "payment_status": "success", "complete_amount": 100}
    return known | {"complete_currency": "INR"} | fields


def transaction(**fields: Any) -> dict[str, Any]:
    return {"txnId": "T1", "orderId": "O1", "amount": 100, "paidAmount": "100.50", "txnStatus": "Success"} | fields


def judged(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    table = build_page([json.dumps(payload).encode()], spec=SPECS[kind], provenance=SEEN)
    row: dict[str, Any] = table.to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2000000000000000009", 2000000000000000009),
        (2000000000000000009, 2000000000000000009),
        ("9", 9),
        ("10", 10),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("-1", None),
        ("1_0", None),
        ("١٢", None),
        ("", None),
        ("1.0", None),
        (True, None),
        (None, None),
    ],
)
def test_order_ids_are_integers_of_any_length(value: object, number: int | None) -> None:
    assert order_number(value) == number


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ({"client_operation_id": "1700000000001"}, "1700000000001"),
        ({"client_operation_id": " ", "create_params": {"params": {"payment": {"identifiers": {"c_id": 17}}}}}, "17"),
        ({"create_params": {"params": {"payment": {"identifiers": {"c_id": "17"}}}}}, "17"),
        ({"create_params": {"params": []}}, None),
        ({}, None),
    ],
)
def test_the_vima_match_key_and_its_fallback(payload: dict[str, Any], key: str | None) -> None:
    assert judged("vima", operation() | payload)["order_key"] == key


def test_a_vima_c_id_number_becomes_text_without_exponent_or_point() -> None:
    payload = parse_payload(b'{"create_params":{"params":{"payment":{"identifiers":{"c_id":1.700000000001e12}}}}}')
    assert OPERATIONS.order_key(payload) == "1700000000001"


@pytest.mark.parametrize("field", ["rates", "operation_state"])
def test_only_rates_are_volatile_in_vima(field: str) -> None:
    one, other = (judged("vima", operation(**{field: value}))["content_hash"] for value in ("a", "b"))
    assert (one == other) == (field == "rates")
    inner = [judged("vima", operation(card_finish=[{"rates": r, "result": "success"}]))["content_hash"] for r in (1, 2)]
    assert inner[0] == inner[1]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"operation_update_id": "x"}, "missing_order"),
        ({"complete_amount": "abc"}, "broken_amount"),
        ({"complete_amount": 100.001}, "inexact_amount"),
        ({"complete_amount": 100.5, "complete_currency": "JPY"}, "inexact_amount"),
        ({"complete_amount": 100.5, "complete_currency": " jpy "}, "inexact_amount"),
        ({"complete_amount": 100.001, "complete_currency": "XXQ"}, None),  # shown as unknown, not guessed
        ({"complete_amount": None, "card_start": [{"amount": 1.005, "currency": "INR"}]}, "inexact_amount"),
        ({"complete_amount": None}, "missing_amount"),
        ({"complete_amount": None, "payment_status": None, "current_status": " Success "}, "missing_amount"),
        ({"complete_amount": None, "payment_status": "fail"}, None),
        (
            {"complete_amount": None, "create_params": {"params": {"payment": {"amount": {"value": 10000}}}}},
            None,
        ),
        ({"create_params": {"params": {"payment": {"amount": {"value": 100.5}}}}}, "inexact_amount"),
        ({"complete_modified_at": "soon"}, "unparseable_time"),
        ({"complete_created_at": 5}, "unparseable_time"),
        ({"payment_status": "a new word"}, None),  # loaded, and shown as unmapped
        ({"payment_status": None, "current_status": None}, None),
        ({"create_params": None, "card_start": {}, "card_finish": "x"}, None),
    ],
)
def test_what_makes_a_vima_operation_untrustworthy(fields: dict[str, Any], reason: str | None) -> None:
    assert judged("vima", operation(**fields))["quarantine_reason"] == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"txnId": None}, "missing_id"),
        ({"amount": "1_00"}, "broken_amount"),
        ({"paidAmount": ""}, "broken_amount"),
        ({"netAmount": "abc"}, "broken_amount"),
        ({"netAmount": -98}, None),
        ({"paidAmount": "100.005"}, "inexact_amount"),
        ({"totalCommissionAmount": 2.5555}, None),  # a fee may be finer than a paisa
        ({"amount": None, "paidAmount": None}, "missing_amount"),
        ({"amount": None, "paidAmount": None, "txnStatus": "Pending"}, None),
        ({"amount": None, "paidAmount": None, "txnStatus": " CB_Refunded"}, "missing_amount"),
        ({"completedAt": "never"}, "unparseable_time"),
        ({"createdAt": "never"}, "unparseable_time"),
        ({"txnStatus": "A New Word"}, None),
    ],
)
def test_what_makes_a_payin_untrustworthy(fields: dict[str, Any], reason: str | None) -> None:
    assert judged("payin", transaction(**fields))["quarantine_reason"] == reason


def test_a_payout_is_named_by_either_id() -> None:
    assert judged("payout", {"transactionId": "P1", "amount": 5, "status": "FAILED"})["record_id"] == "P1"
    assert judged("payout", {"txnId": "T1", "transactionId": "P1", "amount": 5})["record_id"] == "T1"


@pytest.mark.parametrize("field", ["callbackStatus", "callbackResponse", "utr"])
def test_only_callbacks_are_volatile_in_payshack(field: str) -> None:
    one, other = (judged("payin", transaction(**{field: value}))["content_hash"] for value in ("a", "b"))
    assert (one == other) == (field != "utr")


def test_the_change_time_stands_in_for_an_order_in_whole_microseconds() -> None:
    row = judged("payin", transaction(createdAt="2026-01-15T15:46:46.698Z", modifiedAt="2026-01-15T15:47:20.139Z"))
    assert row["source_order"] == 1768492040139000
    assert judged("payin", transaction(createdAt="2026-01-15T15:46:46.698Z"))["source_order"] == 1768492006698000
    assert judged("payin", transaction())["source_order"] is None


def test_a_balance_is_a_version_of_a_client() -> None:
    one, other = (judged("clients", {"clientId": "C1", "balance": balance}) for balance in ("1.00", "2.00"))
    assert one["record_id"] == other["record_id"] == "C1"
    assert one["content_hash"] != other["content_hash"]
    assert one["quarantine_reason"] is None


@pytest.mark.parametrize(
    ("fields", "balance"),
    [
        ({"balance": "100.50"}, "100.50"),
        ({"walletBalance": -3}, "-3"),
        ({"balance": 12.5, "walletBalance": 90}, "12.5"),
        ({"balance": 0, "walletBalance": 90}, "0"),
        ({"balance": None, "walletBalance": "90"}, "90"),
        ({"balance": "n/a", "walletBalance": " 1e3 "}, "1000"),
        ({"balance": "1,000.00", "walletBalance": True}, None),
        ({}, None),
    ],
)
def test_a_client_has_one_balance(fields: dict[str, Any], balance: str | None) -> None:
    payload = parse_payload(json.dumps(fields).encode())
    assert client_balance(payload) == (None if balance is None else Decimal(balance))
