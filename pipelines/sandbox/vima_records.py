"""A record as Vima writes it: JSON whose blocks appear as the operation advances.

created: create_params only -> shown to the user: card_start -> final: card_finish, complete_* on success

The hot path of the server: draws and times are made for a page at once; what operations of one shape have in common is
put together once, with places for what is each one's own.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter

from pipelines.sandbox import facts
from pipelines.sandbox.chance import lots_of
from pipelines.sandbox.kinds import Slot
from pipelines.sandbox.moments import DAY_MS, texts, to_millis
from pipelines.sandbox.world import ID_SPAN, Record

STATUS_WORDS = {"S": "success", "F": "fail", "P": "in_process", "W": "user_input_required", "U": "on_hold"}
MERCHANTS = {
    "91game": ("91game-main", "91game-lite"),
    "indigate_payout": ("indigate-out",),
    "monetix": ("aurora-shop", "birch-travel"),
    "caroussel": ("caroussel-play",),
}
UPI = ("apm", "upi")
METHODS = {"monetix": ("card", "sepa"), "caroussel": ("card", "wallet")}
COUNTRIES = {"EUR": "DE", "USD": "US", "TRY": "TR", "KWD": "KW", "INR": "IN"}


STREAMS = ("amount", "currency", "payer", "reference", "method", "merchant")
OWN = (
    "identity",
    "reference",
    "key",
    "payer",
    "payer_6",
    "payer_10",
    "asked",
    "asked_major",
    "paid_major",
    "created",
    "started",
    "finishing",
    "finished",
    "updated",
    "created_spaced",
    "started_spaced",
    "finishing_spaced",
    "finished_spaced",
    "create_id",
    "update_id",
)
"""What an operation does not share with others of its shape. Times are UTC, without their zone."""


def render_operations(seed: int, records: Sequence[Record], now: datetime) -> list[bytes]:
    """The operations' JSON as they are at `now`; only exchange rates depend on `now` beyond the version."""
    rate = to_millis(now) // DAY_MS % 9
    lots = lots_of(seed, [record.case for record in records], STREAMS)
    times = zip(
        texts([record.created for record in records]),
        texts([record.created + 1900 for record in records]),
        texts([record.updated - 2600 for record in records]),
        texts([record.updated - 30 for record in records]),
        texts([record.updated for record in records]),
        strict=True,
    )
    return [
        _operation(record, *drawn, *moments, rate) for record, drawn, moments in zip(records, lots, times, strict=True)
    ]


def _operation(
    record: Record,
    amount: int,
    currency: int,
    payer: int,
    reference: int,
    method: int,
    merchant: int,
    created: str,
    started: str,
    finishing: str,
    finished: str,
    updated: str,
    rate: int,
) -> bytes:
    slot, case, number = record.slot, record.case, facts.payer(payer)
    money = facts.vima_money(record, amount, currency)
    asked = _decimals(money.asked or 0, facts.EXPONENTS.get(money.currency, 2))
    methods, merchants = METHODS.get(slot.owner, UPI), MERCHANTS[slot.owner]
    rest = case % (ID_SPAN // 10) * 10 + record.slot_number
    text, own_of = _shape(
        slot,
        record.status_class,
        record.version == 0,
        case % 2 == 1,
        money.currency,
        methods[method % len(methods)],
        merchants[merchant % len(merchants)],
        rate,
    )
    own = (
        facts.operation_id(record),
        f"{reference:016x}{record.slot_number:016x}",
        facts.key_of(record),
        number,
        f"{number:06d}",
        f"{number:010d}",
        money.asked,
        asked,
        asked[:-5],
        created,
        started,
        finishing,
        finished,
        updated,
        created.replace("T", " "),
        started.replace("T", " "),
        finishing.replace("T", " "),
        finished.replace("T", " "),
        record.created * ID_SPAN + rest,
        record.updated * ID_SPAN + rest,
    )
    return (text % own_of(own)).encode()


@lru_cache(maxsize=8192)
def _shape(
    slot: Slot,
    status_class: str,
    is_new: bool,
    lags: bool,
    currency: str,
    method: str,
    merchant: str,
    rate: int,
) -> tuple[str, Callable[[tuple[object, ...]], tuple[object, ...]]]:
    """The text with a place for each own value, and what puts an operation's own values into their order."""
    traits = slot.traits
    parts = []
    if "no_id" not in traits:
        parts.append('"operation_id": "<identity>"')
    parts.append('"reference_id": "<reference>"')
    if slot.key is not None and "c_id_only" not in traits:
        parts.append('"client_operation_id": "<key>"')
    parts.append(
        '"service": "multihub-api", "service_env": "prod", '
        f'"project": "{slot.owner}", "project_env": "prod", "user_id": "u-<payer_6>", '
        '"contact": "payer<payer>@example.com", "ip_addr": ""'
    )
    parts.append(_create_params(slot, currency))
    parts.append(_statuses(slot, status_class, lags))
    parts.append(
        '"payment_product": "multihub-api", "payment_method_type": "fiat", '
        f'"payment_method_code": "{method}", "credentials_owner": "{merchant}", "integration_type": "direct"'
    )
    if "no_created" not in traits:
        parts.append('"operation_created_at": "<created>Z"')
    parts.append('"operation_modified_at": "<updated>Z"')
    if "no_amount" not in traits and not (is_new and status_class == "P"):
        parts.extend(_blocks(slot, status_class, currency))
    parts.append('"operation_create_id": "<create_id>"')
    parts.append('"operation_update_id": "<update_id>"')
    parts.append(f'"payment_custom_data": {{"name": "apm"}}, "rates": {{"INR-USD": 0.011{rate}}}')
    text = "{" + ", ".join(parts) + "}"
    places = [OWN.index(name) for name in _PLACE.findall(text)]
    return _PLACE.sub("%s", text.replace("%", "%%")), itemgetter(*places)


_PLACE = re.compile(r"<(\w+)>")


def _create_params(slot: Slot, currency: str) -> str:
    method = "" if "no_method" in slot.traits else f'"method": "payment.{slot.flow.removeprefix("pay")}", '
    amount = "" if "no_amount" in slot.traits else f'"amount": {{"value": <asked>, "currency": "{currency}"}}, '
    identifiers = "{}" if slot.key is None else '{"c_id": <key>}'
    return (
        f'"create_params": {{{method}"service_id": 14701, "params": {{"payment": {{"payer": '
        '{"email": "payer<payer>@example.com", "phone": "<payer_10>", '
        '"person": {"first_name": "Test", "last_name": "Payer <payer>"}, '
        f'"customer_account": {{"id": "u-<payer_6>"}}}}, {amount}'
        f'"client": {{"country": "{COUNTRIES[currency]}", "language": "EN"}}, "identifiers": {identifiers}}}}}}}'
    )


def _statuses(slot: Slot, status_class: str, lags: bool) -> str:
    if "no_status" in slot.traits and status_class == "U":
        return '"operation_state": "in_process"'
    if "contradiction" in slot.traits and status_class == "U":
        return '"current_status": "fail", "payment_status": "success", "operation_state": "processed"'
    word = STATUS_WORDS[status_class]
    if status_class in "SF":
        # operation_state lags behind on half of the finished operations, as at the real one.
        state = "in_process" if lags else "processed"
        return f'"current_status": "{word}", "payment_status": "{word}", "operation_state": "{state}"'
    return f'"current_status": "{word}", "operation_state": "in_process"'


def _blocks(slot: Slot, status_class: str, currency: str) -> list[str]:
    blocks = [
        '"card_start": [{"oper_type": "deposit", "action_id": "<identity>", "payment_id": "<identity>", '
        f'"payment_gate": "paymentgate", "currency": "{currency}", "amount": <asked_major>, '
        '"created_at": "<created_spaced>000", "modified_at": "<started_spaced>000"}]'
    ]
    if status_class in "SF":
        result = "success" if status_class == "S" else "decline"
        blocks.append(
            f'"card_finish": [{{"action_id": "<identity>", "currency": "{currency}", "amount": <asked_major>, '
            f'"charged_currency": "{currency}", "charged_amount": <asked_major>, "charged_fee": 0.00000000, '
            f'"result": "{result}", "created_at": "<finishing_spaced>000", '
            '"modified_at": "<finished_spaced>000", "rates": {"INR-USD": 0.0117}}]'
        )
    if status_class == "S":
        # What is asked is what is paid; five decimals more than any currency has.
        tail = "50000" if "inexact_amount" in slot.traits else "00000"
        blocks.append(
            f'"complete_amount": <paid_major>{tail}, "complete_currency": "{currency}", '
            '"complete_created_at": "<finishing>Z", "complete_modified_at": "<updated>Z"'
        )
    return blocks


@lru_cache(maxsize=16_384)
def _decimals(minor: int, exponent: int) -> str:
    """Major units with eight decimals, written without going through a float."""
    whole, part = divmod(minor, 10**exponent)
    return f"{whole}.{part:0{exponent}d}{'0' * (8 - exponent)}"
