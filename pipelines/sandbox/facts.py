"""What is true of an order and its records, whoever tells it: names, keys, references and money in minor units.

Both renderings and the answer key read the facts here, so that they cannot drift apart; how a fact is written down is
the renderings' own business. Every name and number is invented.
"""

from typing import NamedTuple

from pipelines.sandbox.chance import draw
from pipelines.sandbox.world import Record

KEY_BASE = 1_700_000_000_000
OPERATION_BASE = 2_000_000_000_000_000_000
REFERENCE_SPACE = 10**12
# Multipliers without a factor in common with 10^12, so that different numbers give different references.
UTR_STEP, RRN_STEP = 387_420_489, 282_475_249

PAYSHACK_TYPES = ("UPI_INTENT", "UPI_INTENT", "UPI_INTENT", "UPI_COLLECT", "UPI_COLLECT", "IMPS")
FOREIGN_CURRENCIES = {"monetix": ("EUR", "USD", "EUR"), "caroussel": ("TRY", "USD", "KWD")}
EXPONENTS = {"KWD": 3}
MONEY_CLASSES = frozenset("SRC")


class Money(NamedTuple):
    """What a record says of money, in minor units; None is a figure that the record does not give."""

    currency: str
    asked: int | None
    paid: int | None
    fee: int


def key_of(record: Record) -> str | None:
    """The match key: digits, so that it can travel as a JSON number too."""
    return None if record.slot.key is None else str(KEY_BASE + record.case * 10 + record.slot.key)


def case_of(key: str) -> int | None:
    """The order that a match key belongs to, None for a key that is not of this world."""
    if not (key.isascii() and key.isdigit()):
        return None
    number = int(key) - KEY_BASE
    return number // 10 if number >= 0 else None


def operation_id(record: Record) -> str:
    """Vima's identity of a record."""
    return str(OPERATION_BASE + record.case * 10 + record.slot_number)


def transaction_id(record: Record) -> str:
    """PayShack's identity of a record."""
    return f"{'T' if record.slot.flow == 'payin' else 'P'}{record.case * 10 + record.slot_number:015d}"


def utr(record: Record) -> str:
    """Twelve digits, leading zeros kept."""
    slot = 1 if "first_utr" in record.slot.traits else record.slot_number
    return f"{(record.case * 10 + slot) * UTR_STEP % REFERENCE_SPACE:012d}"


def rrn(record: Record) -> str:
    """Twelve digits that differ from the UTR."""
    return f"{((record.case * 10 + record.slot_number) * RRN_STEP + 7) % REFERENCE_SPACE:012d}"


def transaction_type(seed: int, record: Record) -> str:
    """PayShack's transaction type of a pay-in."""
    return type_drawn(draw(seed, record.case, "type"))


def type_drawn(chance: int) -> str:
    """The transaction type of a draw of `type`."""
    return PAYSHACK_TYPES[chance % len(PAYSHACK_TYPES)]


def order_amount(chance: int) -> int:
    """What the merchant wanted, in minor units: mostly round sums, sometimes with the last digits."""
    style, size = chance % 10, (chance >> 8) % 10_000
    if style < 6:
        return (size % 40 + 1) * 5_000
    if style < 9:
        return (size % 4_900 + 100) * 100
    return size * 37 + 10_001


def money(seed: int, record: Record) -> Money:
    """The record's figures as a provider that keeps its own books states them."""
    amount = draw(seed, record.case, "amount")
    if record.slot.source == "vima":
        return vima_money(record, amount, draw(seed, record.case, "currency"))
    return payshack_money(record, amount, draw(seed, record.case, "difference"))


def vima_money(record: Record, amount: int, currency: int) -> Money:
    """A Vima record's figures by the draws of the same names."""
    base = order_amount(amount)
    return Money(_currency(record, currency), base, base if record.status_class == "S" else None, 0)


def payshack_money(record: Record, amount: int, difference: int) -> Money:
    """A PayShack record's figures by the draws of the same names."""
    base = order_amount(amount)
    asked, paid = _payshack_amounts(record.slot.amount, base, difference % 9 + 1)
    if record.status_class in MONEY_CLASSES:
        return Money("INR", asked, paid, fee_of(base))
    return Money("INR", asked, None, 0)


def fee_of(amount: int) -> int:
    """PayShack's commission: 2.5 %, rounded half up to whole paise."""
    return (amount * 25 + 500) // 1000


def owner_of(record: Record) -> str:
    """Vima's project or PayShack's client."""
    return record.slot.owner


def payer(chance: int) -> int:
    """Number of the invented payer by the draw of `payer`; some pay often."""
    return chance % 97 if chance % 5 == 0 else chance % 900_000 + 1_000


def _currency(record: Record, chance: int) -> str:
    if "euro" in record.slot.traits:
        return "EUR"
    choice = FOREIGN_CURRENCIES.get(record.slot.owner)
    return choice[chance % len(choice)] if choice else "INR"


def _payshack_amounts(difference: str, base: int, rupees: int) -> tuple[int, int | None]:
    """Asked and paid."""
    if difference == "exact":
        return base, base
    return {
        "under": (base, base - rupees * 100),
        "over": (base, base + rupees * 100),
        "fee": (base, base - fee_of(base)),
        "hundredfold": (base * 100, base * 100),
        "hundredth": (base // 100, base // 100),
        "paid_missing": (base, None),
        "asked_more": (base + 500, base),
        "zero": (base, 0),
    }[difference]
