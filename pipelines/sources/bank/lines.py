"""What a statement says, whatever its format: exact amounts, signed as the account sees them (+ credit, − debit).

Grain: one BankLine per booked entry. Times are bank days without a zone.
"""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from pipelines.core.errors import SourceContractError
from pipelines.core.money import minor_unit_exponents, to_minor

FIX = "ask the bank for the file again; nothing of it was loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankLine:
    """A booked entry. `reference` is the bank's or the payer's own, `narration` everything else that was written."""

    account: str
    currency: str
    value_date: date
    booked_on: date
    amount: Decimal
    reference: str | None
    narration: str

    def line_hash(self) -> str:
        """Of everything that the line says; spaces and forms of letters do not count."""
        said = [
            self.account,
            self.currency,
            self.value_date.isoformat(),
            self.booked_on.isoformat(),
            str(self.amount.normalize() + 0),
            self.reference or "",
            self.narration,
        ]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class BankStatement:
    """One statement of one account. Balances are null where the format gives none."""

    account: str
    currency: str
    name: str
    first_day: date | None
    last_day: date | None
    opening_balance: Decimal | None
    closing_balance: Decimal | None
    lines: list[BankLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedLine:
    """A line with what it is known by: the key, and its number among equal lines of its statement, from 1."""

    key: str
    line_hash: str
    occurrence: int
    line: BankLine


def keyed(lines: Iterable[BankLine]) -> Iterator[KeyedLine]:
    """Lines with their keys: account, value date, amount, reference, line hash, and the number among equals."""
    seen: Counter[str] = Counter()
    for line in lines:
        line_hash = line.line_hash()
        seen[line_hash] += 1
        parts = (line.account, line.value_date.isoformat(), str(line.amount.normalize() + 0), line.reference or "")
        said = json.dumps([*parts, line_hash, seen[line_hash]], ensure_ascii=False)
        key = hashlib.sha256(said.encode()).hexdigest()
        yield KeyedLine(key=key, line_hash=line_hash, occurrence=seen[line_hash], line=line)


def checked(statement: BankStatement) -> BankStatement:
    """The statement, if its amounts are exact and its lines lead from the opening balance to the closing one."""
    where = f"statement {statement.name!r}"
    for line in statement.lines:
        if line.currency not in minor_unit_exponents():
            raise SourceContractError(f"The {where} names a currency that is not in the seed `currencies`.", fix=FIX)
        try:
            to_minor(line.amount, line.currency)
        except ValueError:
            raise SourceContractError(
                f"The {where} has an amount that is not whole minor units of {line.currency}.", fix=FIX
            ) from None
        if (line.account, line.currency) != (statement.account, statement.currency):
            raise SourceContractError(f"The {where} mixes accounts or currencies.", fix=FIX)
    if statement.opening_balance is not None and statement.closing_balance is not None:
        moved = sum((line.amount for line in statement.lines), Decimal(0))
        if statement.opening_balance + moved != statement.closing_balance:
            raise SourceContractError(
                f"The {where} does not add up: its lines do not lead from the opening to the closing balance.", fix=FIX
            )
    return statement


def clean(text: str | None) -> str:
    """Text with single spaces, NFC, without what PostgreSQL cannot hold."""
    return " ".join(unicodedata.normalize("NFC", (text or "").replace("\x00", "\ufffd")).split())
