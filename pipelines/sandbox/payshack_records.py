"""A record as PayShack writes it, and its directories. Amounts in rupees, sometimes numbers, sometimes numeric text."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipelines.sandbox import facts
from pipelines.sandbox.chance import draw
from pipelines.sandbox.moments import iso
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


def payin(seed: int, record: Record, now: int) -> dict[str, Any]:
    """A pay-in; only its call-back state depends on `now` (milliseconds) beyond the version."""
    money, chance = facts.money(seed, record), draw(seed, record.case, "wire")
    number = facts.payer(seed, record.case)
    fee = Decimal(money.fee).scaleb(-2)
    final = record.status_class not in "PW"
    row: dict[str, Any] = {
        "_id": record.case * 10 + record.slot_number,
        "txnId": facts.transaction_id(record),
        "spTxnId": f"SP{record.case * 10 + record.slot_number:020d}",
        "orderId": facts.key_of(record),
        "amount": _rupees(money.asked, chance),
        "paidAmount": _rupees(money.paid, chance >> 3),
        "utr": facts.utr(record) if record.status_class in facts.MONEY_CLASSES else None,
        "rrn": facts.rrn(record) if record.status_class in facts.MONEY_CLASSES else None,
        "txnStatus": _word(record, chance),
        "clientName": record.slot.owner,
        "clientId": CLIENT_IDS[record.slot.owner],
        "resellerId": RESELLER_ID,
        "resellerName": RESELLER,
        "transactionType": facts.transaction_type(seed, record),
        "paymentMode": "UPI",
        "payerVpa": f"payer{number}@upi",
        "payerName": f"Test Payer {number}",
        "payerPhone": f"+91{number:010d}",
        "upiId": "merchant1@bank",
        "bankName": "Example Bank",
        "totalCommissionAmount": fee,
        "clientCommission": fee - fee / 5,
        "resellerCommission": fee / 5,
        "callbackUrl": "https://merchant.example/cb",
        "callbackStatus": "sent" if final and now >= record.updated + CALLBACK_MS else "pending",
        "ipAddress": "",
        "currency": "INR",
        "createdAt": iso(record.created),
        "modifiedAt": iso(record.updated),
        "completedAt": iso(record.updated) if final else None,
    }
    return _oddities(row, record)


def payout(seed: int, record: Record, _: int) -> dict[str, Any]:
    """A pay-out."""
    money, chance = facts.money(seed, record), draw(seed, record.case, "wire")
    number = facts.payer(seed, record.case)
    charges = Decimal(money.fee).scaleb(-2)
    # On a pay-out the amount is the gross; what was paid less than asked is stated as the amount itself.
    amount = money.asked if money.paid is None else money.paid
    row: dict[str, Any] = {
        ("transactionId" if chance % 4 == 0 else "txnId"): facts.transaction_id(record),
        "orderId": facts.key_of(record),
        "amount": _rupees(amount, chance),
        "txnCharges": charges,
        "netAmount": -(Decimal(amount or 0).scaleb(-2) + charges),
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
        "createdAt": iso(record.created),
        "modifiedAt": iso(record.updated),
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


def _rupees(minor: int | None, chance: int) -> Decimal | str | int | None:
    if minor is None:
        return None
    amount = Decimal(minor).scaleb(-2)
    if chance % 3 == 0:
        return f"{amount:.2f}"
    return minor // 100 if minor % 100 == 0 else amount
