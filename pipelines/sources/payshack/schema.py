"""How the five kinds of PayShack record are read: identity, match key, order, times, and what makes one untrustworthy.

Grain: one spec per raw table. Amounts are rupees (major units), as numbers or numeric text. Times are ISO 8601, UTC.
The balance lists have no documented shape beyond clients, so their identity is the first of several known fields.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pipelines.core.money import parse_amount
from pipelines.sources.common.records import Payload, RecordProblem, RecordSpec, clean_key, parse_instant

Flow = Literal["payin", "payout"]
Entity = Literal["clients", "resellers", "service_providers"]

# The merchant's webhook is retried for days: that says nothing about the payment, so it makes no version.
VOLATILE = frozenset({"callbackStatus", "callbackResponse", "rates"})

PAYIN_AMOUNTS = ("amount", "paidAmount", "totalCommissionAmount", "clientCommission", "resellerCommission")
PAYOUT_AMOUNTS = ("amount", "txnCharges", "netAmount")
BALANCES = ("balance", "walletBalance")
TIMES = ("createdAt", "modifiedAt", "updatedAt", "completedAt")
INT64_MAX = 2**63 - 1


def first_key(*names: str) -> Callable[[Payload], str | None]:
    """The first of the named fields that holds an id."""

    def read(payload: Payload) -> str | None:
        return next((key for name in names if (key := clean_key(payload.get(name))) is not None), None)

    return read


def _source_order(payload: Payload) -> int | None:
    number = payload.get("_id")
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= INT64_MAX:
        return number
    return None


def _created_at(payload: Payload) -> datetime | None:
    return parse_instant(payload.get("createdAt"))


def _updated_at(payload: Payload) -> datetime | None:
    changed = parse_instant(payload.get("modifiedAt")) or parse_instant(payload.get("updatedAt"))
    return changed or _created_at(payload)


def _without_volatile(payload: Payload) -> Payload:
    return {name: value for name, value in payload.items() if name not in VOLATILE}


def _amount(payload: Payload, name: str) -> Decimal | None:
    value = payload.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return parse_amount(value)
    except ValueError as error:
        raise RecordProblem("broken_amount", f"{name}: {error}") from None


def _check_times(payload: Payload) -> None:
    for name in TIMES:
        parse_instant(payload.get(name))


def _is_success(payload: Payload) -> bool:
    return str(payload.get("txnStatus") or payload.get("status") or "").strip().lower() == "success"


def _check_payment(amounts: tuple[str, ...], paid: tuple[str, ...]) -> Callable[[Payload], None]:
    def check(payload: Payload) -> None:
        found = {name: _amount(payload, name) for name in amounts}
        _check_times(payload)
        if _is_success(payload) and all(found[name] is None for name in paid):
            raise RecordProblem("missing_amount", "a success without an amount anywhere")

    return check


def _check_balance(payload: Payload) -> None:
    for name in BALANCES:
        _amount(payload, name)
    _check_times(payload)


def _spec(table: str, *, identity: tuple[str, ...], check: Callable[[Payload], None], keyed: bool) -> RecordSpec:
    return RecordSpec(
        table=table,
        record_id=first_key(*identity),
        order_key=(lambda payload: clean_key(payload.get("orderId"))) if keyed else (lambda payload: None),
        source_order=_source_order,
        created_at=_created_at,
        updated_at=_updated_at,
        without_volatile=_without_volatile,
        check=check,
    )


PAYINS = _spec(
    "payshack_payins",
    identity=("txnId",),
    check=_check_payment(PAYIN_AMOUNTS, paid=("amount", "paidAmount")),
    keyed=True,
)
PAYOUTS = _spec(
    "payshack_payouts",
    identity=("txnId", "transactionId"),
    check=_check_payment(PAYOUT_AMOUNTS, paid=("amount",)),
    keyed=True,
)
CLIENTS = _spec("payshack_clients", identity=("clientId", "_id", "id"), check=_check_balance, keyed=False)
RESELLERS = _spec(
    "payshack_resellers", identity=("resellerId", "clientId", "_id", "id"), check=_check_balance, keyed=False
)
SERVICE_PROVIDERS = _spec(
    "payshack_service_providers",
    identity=("serviceProviderId", "spId", "_id", "id"),
    check=_check_balance,
    keyed=False,
)

FLOW_SPECS: dict[Flow, RecordSpec] = {"payin": PAYINS, "payout": PAYOUTS}
ENTITY_SPECS: dict[Entity, RecordSpec] = {
    "clients": CLIENTS,
    "resellers": RESELLERS,
    "service_providers": SERVICE_PROVIDERS,
}
