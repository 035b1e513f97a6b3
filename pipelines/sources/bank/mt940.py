"""MT940, the SWIFT customer statement, read by the package mt-940.

    :20: :25: :28C: :60F: (:61: :86:)* :62F:  ->  BankStatement

Marks C and RD are money in, D and RC money out. Amounts are Decimal in the package already. A file may hold several
messages, each of its own account and statement number.
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import mt940

from pipelines.core.errors import SourceContractError
from pipelines.sources.bank.lines import FIX, BankLine, BankStatement, checked, clean

NO_REFERENCE = frozenset({"NONREF", ""})
_MESSAGE = re.compile(r"(?m)^(?=:20:)")
_STATEMENT_LINE = re.compile(r"(?m)^:61:")


def parse_mt940(content: bytes) -> list[BankStatement]:
    """Every statement of the file. Raises SourceContractError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    messages = [part for part in _MESSAGE.split(text.replace("\r\n", "\n")) if part.startswith(":20:")]
    if not messages:
        raise SourceContractError("The file holds no MT940 message (:20:).", fix=FIX)
    return [_statement(message) for message in messages]


def _statement(message: str) -> BankStatement:
    try:
        parsed = mt940.parse(message, options=mt940.Options(reversal_sign=True))
    except (RuntimeError, ValueError, InvalidOperation, KeyError, AttributeError):
        raise SourceContractError("The MT940 message cannot be read.", fix=FIX) from None
    data = parsed.data
    name = clean(str(data.get("transaction_reference") or ""))
    account = clean(str(data.get("account_identification") or ""))
    opening = _balance(data.get("final_opening_balance") or data.get("intermediate_opening_balance"))
    closing = _balance(data.get("final_closing_balance") or data.get("intermediate_closing_balance"))
    if not account or opening is None or closing is None:
        raise SourceContractError(f"The statement {name!r} cannot be used: it lacks its account or a balance.", fix=FIX)
    # A line that the package skips must not be lost without a word.
    if len(parsed.transactions) != len(_STATEMENT_LINE.findall(message)):
        raise SourceContractError(f"The statement {name!r} has a line (:61:) that cannot be read.", fix=FIX)
    lines = [_line(transaction.data, account, name) for transaction in parsed.transactions]
    return checked(
        BankStatement(
            account=account,
            currency=str(opening.amount.currency),
            name=name,
            first_day=_day(opening.date),
            last_day=_day(closing.date),
            opening_balance=opening.amount.amount,
            closing_balance=closing.amount.amount,
            lines=lines,
        )
    )


def _balance(found: Any) -> Any:
    return found if found is not None and found.amount is not None and found.date is not None else None


def _line(data: dict[str, Any], account: str, name: str) -> BankLine:
    amount, value_date = data.get("amount"), data.get("date")
    if amount is None or value_date is None or not isinstance(amount.amount, Decimal):
        raise SourceContractError(f"The statement {name!r} has a line without amount or date.", fix=FIX)
    references = [clean(data.get(field)) for field in ("customer_reference", "bank_reference")]
    known = [reference for reference in references if reference not in NO_REFERENCE]
    written = (data.get("transaction_details"), data.get("extra_details"), data.get("purpose"))
    return BankLine(
        account=account,
        currency=str(amount.currency),
        value_date=_day(value_date),
        booked_on=_day(data.get("guessed_entry_date") or data.get("entry_date") or value_date),
        amount=amount.amount,
        reference=known[0] if known else None,
        narration=clean(" ".join([*(str(part) for part in written if part), *known])),
    )


def _day(found: Any) -> date:
    return date(found.year, found.month, found.day)
