"""How a Vima operation is read: identity, match key, order, times, and what makes it untrustworthy."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pipelines.core.money import MAX_MAGNITUDE, minor_unit_exponents, parse_amount, to_minor
from pipelines.sources.common.records import Payload, RecordProblem, RecordSpec, check_words, clean_key, parse_instant

INT64_MAX = 2**63 - 1

WORD_FIELDS = (
    *("payment_status", "current_status", "project", "credentials_owner"),
    *("payment_method_code", "reference_id", "complete_currency"),
)
WORD_PATHS = (
    ("card_start", 0, "currency"),
    *(("card_finish", 0, name) for name in ("utr", "rrn")),
    *(("payment_custom_data", name) for name in ("utr", "rrn")),
    ("create_params", "params", "payment", "amount", "currency"),
    ("create_params", "params", "payment", "client", "country"),
)


def dig(value: Any, *path: str | int) -> Any:
    """The value at `path`, or None as soon as a step is absent or of another shape."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def order_number(value: object) -> int | None:
    """A 64-bit id, delivered as decimal text (or a JSON integer), as an integer."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT64_MAX:
        return value
    return None


def _order_key(payload: Payload) -> str | None:
    return clean_key(payload.get("client_operation_id")) or clean_key(
        dig(payload, "create_params", "params", "payment", "identifiers", "c_id")
    )


def _updated_at(payload: Payload) -> datetime | None:
    return parse_instant(payload.get("operation_modified_at")) or parse_instant(payload.get("operation_created_at"))


def _without_volatile(payload: Payload) -> Payload:
    """Exchange rates move on their own; a version is what happened to the payment."""
    steady = _without_rates(payload)
    finished = steady.get("card_finish")
    if isinstance(finished, list):
        steady["card_finish"] = [_without_rates(block) if isinstance(block, dict) else block for block in finished]
    return steady


def _without_rates(block: Payload) -> Payload:
    steady = block.copy()
    steady.pop("rates", None)
    return steady


def _check(payload: Payload) -> None:
    check_words(*map(payload.get, WORD_FIELDS), *(dig(payload, *path) for path in WORD_PATHS))
    if order_number(payload.get("operation_update_id")) is None:
        raise RecordProblem("missing_order", "operation_update_id is absent or not a 64-bit number")
    completed = _amount(payload.get("complete_amount"), "complete_amount")
    started = _amount(dig(payload, "card_start", 0, "amount"), "card_start amount")
    asked = _amount(dig(payload, "create_params", "params", "payment", "amount", "value"), "asked amount")
    if isinstance(asked, Decimal) and asked != asked.to_integral_value():
        raise RecordProblem("inexact_amount", "the asked amount is not whole minor units")
    currency = (
        payload.get("complete_currency")
        or dig(payload, "card_start", 0, "currency")
        or dig(payload, "create_params", "params", "payment", "amount", "currency")
    )
    major = completed if completed is not None else started
    code = currency.strip().upper() if isinstance(currency, str) else ""
    # An unknown currency's exponent is not guessed: the record loads and shows as such.
    if isinstance(major, Decimal) and code in minor_unit_exponents():
        try:
            to_minor(major, code)
        except ValueError:
            raise RecordProblem("inexact_amount", f"the amount is not whole minor units of {code}") from None
    status = _word(payload.get("payment_status")) or _word(payload.get("current_status"))
    if status == "success" and major is None and asked is None:
        raise RecordProblem("missing_amount", "a success without an amount anywhere")
    # The models read these as times; one that is none would stop them.
    for name in ("complete_created_at", "complete_modified_at"):
        parse_instant(payload.get(name))


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _amount(value: object, name: str) -> Decimal | int | None:
    """An int where it is whole: most are, and those are whole in every currency's minor units."""
    if value is None or (type(value) is int and abs(value) < 10**MAX_MAGNITUDE):
        return value
    try:
        return parse_amount(value)
    except ValueError as error:
        raise RecordProblem("broken_amount", f"{name}: {error}") from None


OPERATIONS = RecordSpec(
    table="vima_operations",
    record_id=lambda payload: clean_key(payload.get("operation_id")),
    order_key=_order_key,
    source_order=lambda payload: order_number(payload.get("operation_update_id")),
    created_at=lambda payload: parse_instant(payload.get("operation_created_at")),
    updated_at=_updated_at,
    without_volatile=_without_volatile,
    check=_check,
)
