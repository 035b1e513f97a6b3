"""How PayShack's records are read: identity, match key, times, and what makes one untrustworthy."""

from datetime import datetime
from decimal import Decimal

from pipelines.core.money import MAX_MAGNITUDE, parse_amount, to_minor
from pipelines.sources.common.records import (
    Payload,
    RecordProblem,
    RecordSpec,
    check_words,
    clean_key,
    microseconds,
    parse_instant,
)

CURRENCY = "INR"
VOLATILE = frozenset({"callbackStatus", "callbackResponse"})
MONEY_STATES = frozenset({"success", "refunded", "cb_refunded", "returned"})
AMOUNT_FIELDS = ("amount", "paidAmount", "netAmount", "txnCharges", "totalCommissionAmount")
WORD_FIELDS = ("txnStatus", "status", "clientName", "transactionType", "currency", "utr", "rrn", "spTxnId")
BALANCE_FIELDS = ("balance", "walletBalance")


def _steady(payload: Payload) -> Payload:
    steady = payload.copy()
    for name in VOLATILE:
        steady.pop(name, None)
    return steady


def client_balance(payload: Payload) -> Decimal | None:
    """Balance of a client, rupees: `balance`, and `walletBalance` where that holds no number. Read here alone."""
    for name in BALANCE_FIELDS:
        try:
            return parse_amount(payload.get(name))
        except ValueError:
            continue
    return None


def _updated_at(payload: Payload) -> datetime | None:
    return parse_instant(payload.get("modifiedAt")) or parse_instant(payload.get("createdAt"))


def _order(payload: Payload) -> int | None:
    """PayShack has no ordering value of its own; the change time in microseconds stands in."""
    updated = _updated_at(payload)
    return None if updated is None else microseconds(updated)


def _check_transaction(payload: Payload) -> None:
    check_words(*map(payload.get, WORD_FIELDS))
    for name in AMOUNT_FIELDS:
        value = payload.get(name)
        # Most are whole rupees, and those are whole paise.
        if value is None or (type(value) is int and abs(value) < 10**MAX_MAGNITUDE):
            continue
        try:
            amount = parse_amount(value)
        except ValueError as error:
            raise RecordProblem("broken_amount", f"{name}: {error}") from None
        if name in ("amount", "paidAmount"):
            try:
                to_minor(amount, CURRENCY)
            except ValueError:
                raise RecordProblem("inexact_amount", f"{name} is not whole paise") from None
    # The models read it as a time; one that is none would stop them.
    parse_instant(payload.get("completedAt"))
    status = str(payload.get("txnStatus") or payload.get("status") or "").strip().lower()
    if status in MONEY_STATES and payload.get("amount") is None and payload.get("paidAmount") is None:
        raise RecordProblem("missing_amount", "money moved without an amount anywhere")


def _nothing_to_check(_: Payload) -> None:
    return None


def _transaction(table: str, *id_fields: str) -> RecordSpec:
    return RecordSpec(
        table=table,
        record_id=lambda payload: next((key for name in id_fields if (key := clean_key(payload.get(name)))), None),
        order_key=lambda payload: clean_key(payload.get("orderId")),
        source_order=_order,
        created_at=lambda payload: parse_instant(payload.get("createdAt")),
        updated_at=_updated_at,
        without_volatile=_steady,
        check=_check_transaction,
    )


def _directory(table: str, *id_fields: str) -> RecordSpec:
    return RecordSpec(
        table=table,
        record_id=lambda payload: next((key for name in id_fields if (key := clean_key(payload.get(name)))), None),
        order_key=lambda _: None,
        source_order=_order,
        created_at=lambda payload: parse_instant(payload.get("createdAt")),
        updated_at=_updated_at,
        without_volatile=_steady,
        check=_nothing_to_check,
    )


TRANSACTIONS = {
    "payin": _transaction("payshack_payins", "txnId"),
    "payout": _transaction("payshack_payouts", "txnId", "transactionId"),
}
DIRECTORY_SPECS = {
    "clients": _directory("payshack_clients", "clientId"),
    "resellers": _directory("payshack_resellers", "resellerId", "clientId", "_id"),
    "service_providers": _directory("payshack_service_providers", "spId", "serviceProviderId", "_id"),
}
