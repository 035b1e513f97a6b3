"""A record as PayShack writes it, and its directories. Amounts in rupees, sometimes numbers, sometimes numeric text.

The hot path of the server: chances are drawn for a page at once, and decimals are kept, since round sums come often.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipelines.sandbox import facts
from pipelines.sandbox.chance import draw, lots_of
from pipelines.sandbox.moments import texts
from pipelines.sandbox.world import Record

# Words as they come, in any letter case.
PAYIN_WORDS = {
    "S": ("Success", "SUCCESS", "Success"),
    "F": ("Failed", "Failed", "FAILED"),
    "P": ("Pending", "In Process", "Pending"),
    "W": ("Incomplete", "Incomplete", "INCOMPLETE"),
    "R": ("Refunded", "Refunded", "REFUNDED"),
    "C": ("Cb_Refunded", "CB_REFUNDED", "Cb_Refunded"),
    "T": ("Tampered", "Tampered", "Tampered"),
    "U": ("On Hold", "On Hold", "On Hold"),
}
PAYOUT_WORDS = {"S": "SUCCESS", "F": "FAILED", "P": "PROCESSING", "R": "RETURNED", "U": "ON HOLD"}
CLIENTS = (
    "91G_TECH_PVT_LTD",
    "IG Indigate P_Out",
    "MNCL_M5_Pvt_Ltd",
    "Mn CL THREE_PVT_LTD",
    "NEW_CLIENT_PVT_LTD",
)
SERVICE_PROVIDERS = ("Example Bank UPI", "Sample Bank IMPS", "Model Bank UPI")
RESELLER = "Sandbox Reseller"
SINCE = datetime(2025, 1, 1, tzinfo=UTC)
BALANCE_STEP = timedelta(minutes=5)
CALLBACK_MS = 30_000


def client_id(name: str) -> str:
    """A stable invented id."""
    return str(uuid5(NAMESPACE_URL, f"client:{name}"))


CLIENT_IDS = {name: client_id(name) for name in CLIENTS}
RESELLER_ID = client_id(RESELLER)


def payins(seed: int, records: Sequence[Record], now: int) -> list[dict[str, Any]]:
    """Pay-ins; only their call-back state depends on `now` (milliseconds) beyond the version."""
    lots = lots_of(seed, [record.case for record in records], ("amount", "difference", "wire", "payer", "type"))
    rows = zip(records, lots, *_times(records), strict=True)
    return [_payin(record, now, *drawn, created, updated) for record, drawn, created, updated in rows]


def payouts(seed: int, records: Sequence[Record], _: int) -> list[dict[str, Any]]:
    """Pay-outs."""
    lots = lots_of(seed, [record.case for record in records], ("amount", "difference", "wire", "payer"))
    rows = zip(records, lots, *_times(records), strict=True)
    return [_payout(record, *drawn, created, updated) for record, drawn, created, updated in rows]


def _times(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """When the records were created and when they changed last."""
    return texts([record.created for record in records]), texts([record.updated for record in records])


def _payin(
    record: Record,
    now: int,
    amount: int,
    difference: int,
    chance: int,
    payer: int,
    kind: int,
    created: str,
    updated: str,
) -> dict[str, Any]:
    money, number = facts.payshack_money(record, amount, difference), facts.payer(payer)
    fee, client_fee, reseller_fee = _fees(money.fee)
    status, owner = record.status_class, record.slot.owner
    final, moved = status not in "PW", status in facts.MONEY_CLASSES
    identity = record.case * 10 + record.slot_number
    row: dict[str, Any] = {
        "_id": identity,
        "txnId": facts.transaction_id(record),
        "spTxnId": f"SP{identity:020d}",
        "orderId": facts.key_of(record),
        "amount": _rupees(money.asked, chance % 3 == 0),
        "paidAmount": _rupees(money.paid, (chance >> 3) % 3 == 0),
        "utr": facts.utr(record) if moved else None,
        "rrn": facts.rrn(record) if moved else None,
        "txnStatus": _word(record, chance),
        "clientName": owner,
        "clientId": CLIENT_IDS[owner],
        "resellerId": RESELLER_ID,
        "resellerName": RESELLER,
        "transactionType": facts.type_drawn(kind),
        "paymentMode": "UPI",
        "payerVpa": f"payer{number}@upi",
        "payerName": f"Test Payer {number}",
        "payerPhone": f"+91{number:010d}",
        "upiId": "merchant1@bank",
        "bankName": "Example Bank",
        "totalCommissionAmount": fee,
        "clientCommission": client_fee,
        "resellerCommission": reseller_fee,
        "callbackUrl": "https://merchant.example/cb",
        "callbackStatus": "sent" if final and now >= record.updated + CALLBACK_MS else "pending",
        "ipAddress": "",
        "currency": "INR",
        "createdAt": f"{created}Z",
        "modifiedAt": f"{updated}Z",
        "completedAt": f"{updated}Z" if final else None,
    }
    return _oddities(row, record)


def _payout(
    record: Record, asked: int, difference: int, chance: int, payer: int, created: str, updated: str
) -> dict[str, Any]:
    money, number = facts.payshack_money(record, asked, difference), facts.payer(payer)
    charges = _major(money.fee)
    # On a pay-out the amount is the gross; what was paid less than asked is stated as the amount itself.
    amount = money.asked if money.paid is None else money.paid
    row: dict[str, Any] = {
        ("transactionId" if chance % 4 == 0 else "txnId"): facts.transaction_id(record),
        "orderId": facts.key_of(record),
        "amount": _rupees(amount, chance % 3 == 0),
        "txnCharges": charges,
        "netAmount": -(_major(amount or 0) + charges),
        ("status" if chance % 3 == 0 else "txnStatus"): PAYOUT_WORDS[record.status_class]
        if record.version or record.status_class != "P"
        else "INITIATED",
        "beneName": f"Test Beneficiary {number}",
        "beneAccount": f"{number:012d}",
        "beneIfsc": "EXMP0000001",
        "beneEmail": f"beneficiary{number}@example.com",
        "benePhone": f"+91{number:010d}",
        "utr": facts.utr(record) if record.status_class in "SR" else None,
        "clientId": CLIENT_IDS[record.slot.owner],
        "clientName": record.slot.owner,
        "createdAt": f"{created}Z",
        "modifiedAt": f"{updated}Z",
    }
    return _oddities(row, record)


def clients(seed: int, now: datetime) -> list[dict[str, Any]]:
    """Clients with their balance, which moves every five minutes."""
    step = int((now - SINCE) / BALANCE_STEP)
    return [
        {
            "clientId": CLIENT_IDS[name],
            "name": name,
            "balance": f"{250_000 + draw(seed, step, name) % 9_000_000 / 100:.2f}",
            "status": "Active",
            "createdAt": SINCE.isoformat(),
        }
        for name in CLIENTS
    ]


def resellers() -> list[dict[str, Any]]:
    """The one reseller that signs in."""
    return [{"resellerId": RESELLER_ID, "name": RESELLER, "status": "Active", "createdAt": SINCE.isoformat()}]


def service_providers() -> list[dict[str, Any]]:
    """The banks behind PayShack."""
    return [
        {"spId": f"SP{number:03d}", "name": name, "status": "Active", "createdAt": SINCE.isoformat()}
        for number, name in enumerate(SERVICE_PROVIDERS, 1)
    ]


def _word(record: Record, chance: int) -> str:
    if record.version == 0 and record.status_class == "P":
        return "INITIATED"
    return PAYIN_WORDS[record.status_class][chance % 3]


def _oddities(row: dict[str, Any], record: Record) -> dict[str, Any]:
    if "broken_amount" in record.slot.traits:
        row["amount"] = "12,50"
    if "no_id" in record.slot.traits:
        row.pop("txnId", None)
        row.pop("transactionId", None)
    return row


@lru_cache(maxsize=32_768)
def _rupees(minor: int | None, is_text: bool) -> Decimal | str | int | None:
    if minor is None:
        return None
    if is_text:
        return f"{_major(minor):.2f}"
    return minor // 100 if minor % 100 == 0 else _major(minor)


@lru_cache(maxsize=16_384)
def _fees(minor: int) -> tuple[Decimal, Decimal, Decimal]:
    """The commission, and the client's and the reseller's part of it."""
    fee = _major(minor)
    return fee, fee - fee / 5, fee / 5


def _major(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)
