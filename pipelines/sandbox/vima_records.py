"""A record as Vima writes it: JSON whose blocks appear as the operation advances.

created: create_params only -> shown to the user: card_start -> final: card_finish, complete_* on success
"""

from datetime import datetime

from pipelines.sandbox import facts
from pipelines.sandbox.chance import draw
from pipelines.sandbox.moments import DAY_MS, iso, spaced, to_millis
from pipelines.sandbox.world import ID_SPAN, Record

STATUS_WORDS = {"S": "success", "F": "fail", "P": "in_process", "W": "user_input_required", "U": "on_hold"}
MERCHANTS = {
    "91game": ("91game-main", "91game-lite"),
    "indigate_payout": ("indigate-out",),
    "monetix": ("aurora-shop", "birch-travel"),
    "caroussel": ("caroussel-play",),
}
METHODS = {"monetix": ("card", "sepa"), "caroussel": ("card", "wallet")}
COUNTRIES = {"EUR": "DE", "USD": "US", "TRY": "TR", "KWD": "KW", "INR": "IN"}


def render_operation(seed: int, record: Record, now: datetime) -> bytes:
    """The operation's JSON as it is at `now`; only its exchange rates depend on `now` beyond the version."""
    return _template(seed, record, to_millis(now) // DAY_MS).encode()


def _template(seed: int, record: Record, day: int) -> str:
    traits, money = record.slot.traits, facts.money(seed, record)
    exponent = facts.EXPONENTS.get(money.currency, 2)
    number = facts.payer(seed, record.case)
    key = facts.key_of(record)
    parts = []
    if "no_id" not in traits:
        parts.append(f'"operation_id": "{facts.operation_id(record)}"')
    parts.append(f'"reference_id": "{draw(seed, record.case, "reference"):016x}{record.slot_number:016x}"')
    if key is not None and "c_id_only" not in traits:
        parts.append(f'"client_operation_id": "{key}"')
    merchants = MERCHANTS[record.slot.owner]
    parts.append(
        '"service": "multihub-api", "service_env": "prod", '
        f'"project": "{record.slot.owner}", "project_env": "prod", "user_id": "u-{number:06d}", '
        f'"contact": "payer{number}@example.com", "ip_addr": ""'
    )
    parts.append(_create_params(record, money, number, key))
    parts.append(_statuses(record))
    method = METHODS.get(record.slot.owner, ("apm", "upi"))
    parts.append(
        '"payment_product": "multihub-api", "payment_method_type": "fiat", '
        f'"payment_method_code": "{method[draw(seed, record.case, "method") % len(method)]}", '
        f'"credentials_owner": "{merchants[draw(seed, record.case, "merchant") % len(merchants)]}", '
        '"integration_type": "direct"'
    )
    if "no_created" not in traits:
        parts.append(f'"operation_created_at": "{iso(record.created)}"')
    parts.append(f'"operation_modified_at": "{iso(record.updated)}"')
    if "no_amount" not in traits:
        parts.extend(_blocks(record, money, exponent))
    parts.append(f'"operation_create_id": "{_id(record.created, record)}"')
    parts.append(f'"operation_update_id": "{_id(record.updated, record)}"')
    parts.append(f'"payment_custom_data": {{"name": "apm"}}, "rates": {{"INR-USD": 0.011{day % 9}}}')
    return "{" + ", ".join(parts) + "}"


def _create_params(record: Record, money: facts.Money, number: int, key: str | None) -> str:
    method = (
        "" if "no_method" in record.slot.traits else f'"method": "payment.{record.slot.flow.removeprefix("pay")}", '
    )
    amount = (
        ""
        if "no_amount" in record.slot.traits
        else f'"amount": {{"value": {money.asked}, "currency": "{money.currency}"}}, '
    )
    identifiers = "{}" if key is None else f'{{"c_id": {key}}}'
    return (
        f'"create_params": {{{method}"service_id": 14701, "params": {{"payment": {{"payer": '
        f'{{"email": "payer{number}@example.com", "phone": "{number:010d}", '
        f'"person": {{"first_name": "Test", "last_name": "Payer {number}"}}, '
        f'"customer_account": {{"id": "u-{number:06d}"}}}}, {amount}'
        f'"client": {{"country": "{COUNTRIES[money.currency]}", "language": "EN"}}, "identifiers": {identifiers}}}}}}}'
    )


def _statuses(record: Record) -> str:
    if "no_status" in record.slot.traits and record.status_class == "U":
        return '"operation_state": "in_process"'
    if "contradiction" in record.slot.traits and record.status_class == "U":
        return '"current_status": "fail", "payment_status": "success", "operation_state": "processed"'
    word = STATUS_WORDS[record.status_class]
    if record.status_class in "SF":
        # operation_state lags behind on half of the finished operations, as at the real one.
        state = "in_process" if record.case % 2 else "processed"
        return f'"current_status": "{word}", "payment_status": "{word}", "operation_state": "{state}"'
    return f'"current_status": "{word}", "operation_state": "in_process"'


def _blocks(record: Record, money: facts.Money, exponent: int) -> list[str]:
    if record.version == 0 and record.status_class == "P":
        return []
    asked = _decimals(money.asked or 0, exponent)
    action = facts.operation_id(record)
    blocks = [
        f'"card_start": [{{"oper_type": "deposit", "action_id": "{action}", "payment_id": "{action}", '
        f'"payment_gate": "paymentgate", "currency": "{money.currency}", "amount": {asked}, '
        f'"created_at": "{spaced(record.created)}", "modified_at": "{spaced(record.created + 1900)}"}}]'
    ]
    if record.status_class in "SF":
        result = "success" if record.status_class == "S" else "decline"
        blocks.append(
            f'"card_finish": [{{"action_id": "{action}", "currency": "{money.currency}", "amount": {asked}, '
            f'"charged_currency": "{money.currency}", "charged_amount": {asked}, "charged_fee": 0.00000000, '
            f'"result": "{result}", "created_at": "{spaced(record.updated - 2600)}", '
            f'"modified_at": "{spaced(record.updated - 30)}", "rates": {{"INR-USD": 0.0117}}}}]'
        )
    if money.paid is not None:
        paid = _decimals(money.paid, exponent)
        if "inexact_amount" in record.slot.traits:
            paid = f"{paid[:-5]}50000"
        blocks.append(
            f'"complete_amount": {paid}, "complete_currency": "{money.currency}", '
            f'"complete_created_at": "{iso(record.updated - 2600)}", "complete_modified_at": "{iso(record.updated)}"'
        )
    return blocks


def _id(millis: int, record: Record) -> int:
    return millis * ID_SPAN + record.case % (ID_SPAN // 10) * 10 + record.slot_number


def _decimals(minor: int, exponent: int) -> str:
    """Major units with eight decimals, written without going through a float."""
    whole, part = divmod(minor, 10**exponent)
    return f"{whole}.{part:0{exponent}d}{'0' * (8 - exponent)}"
