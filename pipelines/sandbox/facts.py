"""What is true of an order and its records, whoever tells it: names, keys, references and money in minor units.

Both renderings and the answer key read the facts here, so that they cannot drift apart; how a fact is written down is
the renderings' own business. Every name and number is invented.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Money:
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
    return PAYSHACK_TYPES[draw(seed, record.case, "type") % len(PAYSHACK_TYPES)]


def order_amount(seed: int, case: int) -> int:
    """What the merchant wanted, in minor units: mostly round sums, sometimes with the last digits."""
    chance = draw(seed, case, "amount")
    style, size = chance % 10, (chance >> 8) % 10_000
    if style < 6:
        return (size % 40 + 1) * 5_000
    if style < 9:
        return (size % 4_900 + 100) * 100
    return size * 37 + 10_001


def money(seed: int, record: Record) -> Money:
    """The record's figures as a provider that keeps its own books states them."""
    base = order_amount(seed, record.case)
    if record.slot.source == "vima":
        return Money(_currency(seed, record), base, base if record.status_class == "S" else None, 0)
    fee = fee_of(base) if record.status_class in MONEY_CLASSES else 0
    asked, paid = _payshack_amounts(record.slot.amount, base, draw(seed, record.case, "difference") % 9 + 1)
    return Money("INR", asked, paid if record.status_class in MONEY_CLASSES else None, fee)


def fee_of(amount: int) -> int:
    """PayShack's commission: 2.5 %, rounded half up to whole paise."""
    return (amount * 25 + 500) // 1000


def owner_of(record: Record) -> str:
    """Vima's project or PayShack's client."""
    return record.slot.owner


def payer(seed: int, case: int) -> int:
    """Number of the invented payer; some pay often."""
    chance = draw(seed, case, "payer")
    return chance % 97 if chance % 5 == 0 else chance % 900_000 + 1_000


def _currency(seed: int, record: Record) -> str:
    if "euro" in record.slot.traits:
        return "EUR"
    choice = FOREIGN_CURRENCIES.get(record.slot.owner)
    return choice[draw(seed, record.case, "currency") % len(choice)] if choice else "INR"


def _payshack_amounts(difference: str, base: int, rupees: int) -> tuple[int, int | None]:
    """Asked and paid."""
    return {
        "exact": (base, base),
        "under": (base, base - rupees * 100),
        "over": (base, base + rupees * 100),
        "fee": (base, base - fee_of(base)),
        "hundredfold": (base * 100, base * 100),
        "hundredth": (base // 100, base // 100),
        "paid_missing": (base, None),
        "asked_more": (base + 500, base),
        "zero": (base, 0),
    }[difference]
