"""CSV of a bank's own making, read by a mapping: which column is what, in a TOML file that finance reviews.

    [statement]
    account = "000000000001"       currency = "INR"
    delimiter = ","                encoding = "utf-8"       skip_lines = 0
    date_format = "%d/%m/%Y"       decimal_mark = "."

    [columns]
    value_date = "Value Date"      booked_on = "Txn Date"   (optional)
    reference = "Ref No"           narration = ["Description", "Remarks"]
    amount = "Amount"              or  credit = "Deposit" and debit = "Withdrawal"
    direction = "Dr/Cr"            with credit_word = "CR" in [statement]; only beside `amount`

Grain: one line per row. A row without a date and without an amount (a footer) ends the file; anything else that cannot
be read refuses the whole file, since half a statement is none.
"""

import csv
import io
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipelines.core.errors import SourceContractError, SourceError
from pipelines.core.money import parse_amount
from pipelines.sources.bank.lines import FIX, BankLine, BankStatement, checked, clean


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvMapping:
    """How a bank writes its CSV. See the module's text for what the fields mean."""

    account: str
    currency: str
    value_date: str
    narration: tuple[str, ...]
    booked_on: str | None = None
    reference: str | None = None
    amount: str | None = None
    credit: str | None = None
    debit: str | None = None
    direction: str | None = None
    credit_word: str = "CR"
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    skip_lines: int = 0
    date_format: str = "%Y-%m-%d"
    decimal_mark: str = "."

    def __post_init__(self) -> None:
        has_sides = self.credit is not None and self.debit is not None
        if (self.amount is not None) == has_sides:
            raise ValueError("name either the column `amount`, or `credit` and `debit`")
        if self.direction is not None and self.amount is None:
            raise ValueError("`direction` needs the column `amount`")
        if self.decimal_mark not in (".", ","):
            raise ValueError("`decimal_mark` is a point or a comma")


def read_mapping(content: bytes) -> CsvMapping:
    """A mapping from TOML. Raises SourceError naming what is wrong with it."""
    try:
        found: dict[str, Any] = tomllib.loads(content.decode())
        values = {**found.get("statement", {}), **found.get("columns", {})}
        narration = values.get("narration", [])
        values["narration"] = (narration,) if isinstance(narration, str) else tuple(narration)
        return CsvMapping(**values)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        reason = str(error).replace("CsvMapping.__init__() ", "")
        raise SourceError(
            f"The mapping cannot be used: {reason}.", fix="see docs/sources/bank.md for a complete mapping"
        ) from None


def parse_csv(content: bytes, mapping: CsvMapping, *, name: str) -> list[BankStatement]:
    """The one statement of the file. Raises SourceContractError naming the row."""
    try:
        text = content.decode(mapping.encoding)
    except (UnicodeDecodeError, LookupError):
        raise SourceContractError(f"The file is not {mapping.encoding}.", fix="set `encoding` in the mapping") from None
    body = io.StringIO("".join(text.splitlines(keepends=True)[mapping.skip_lines :]), newline="")
    reader = csv.DictReader(body, delimiter=mapping.delimiter, strict=True)
    wanted = (mapping.value_date, mapping.booked_on, mapping.reference, mapping.amount, mapping.credit, mapping.debit)
    lines: list[BankLine] = []
    try:
        header = [clean(title) for title in reader.fieldnames or []]
        reader.fieldnames = header
        named = [column for column in (*wanted, mapping.direction, *mapping.narration) if column]
        missing = [column for column in named if column not in header]
        if missing:
            raise SourceContractError(
                f"The CSV has no column {', '.join(missing)}.", fix="correct the mapping, or `skip_lines`"
            )
        for row in reader:
            line = _line(row, mapping, reader.line_num + mapping.skip_lines)
            if line is None:
                break
            lines.append(line)
    except csv.Error:
        raise SourceContractError("The file is no CSV of the mapping's kind.", fix="correct `delimiter`") from None
    days = [line.value_date for line in lines]
    return [
        checked(
            BankStatement(
                account=mapping.account,
                currency=mapping.currency,
                name=name,
                first_day=min(days, default=None),
                last_day=max(days, default=None),
                opening_balance=None,
                closing_balance=None,
                lines=lines,
            )
        )
    ]


def _line(row: dict[str | Any, str | Any], mapping: CsvMapping, number: int) -> BankLine | None:
    """The line of a row, None for a footer."""
    if None in row:
        raise _broken(number, "it has more cells than the header")
    cells = {column: clean(value) for column, value in row.items()}
    amounts = [cells[column] for column in (mapping.amount, mapping.credit, mapping.debit) if column]
    if not cells[mapping.value_date] and not any(amounts):
        return None
    value_date = _day(cells[mapping.value_date], mapping, number)
    reference = cells[mapping.reference] if mapping.reference else ""
    said = [cells[column] for column in mapping.narration]
    return BankLine(
        account=mapping.account,
        currency=mapping.currency,
        value_date=value_date,
        booked_on=_day(cells[mapping.booked_on], mapping, number) if mapping.booked_on else value_date,
        amount=_amount(cells, mapping, number),
        reference=reference or None,
        narration=clean(" ".join(said)),
    )


def _amount(cells: dict[str, str], mapping: CsvMapping, number: int) -> Decimal:
    if mapping.amount:
        amount = _number(cells[mapping.amount], mapping, number)
        if mapping.direction is None:
            return amount
        is_credit = cells[mapping.direction].casefold() == mapping.credit_word.casefold()
        return amount if is_credit else -amount
    credit, debit = cells[mapping.credit or ""], cells[mapping.debit or ""]
    found = [_number(text, mapping, number) if text else Decimal(0) for text in (credit, debit)]
    if found[0] and found[1]:
        raise _broken(number, "it is credit and debit at once")
    return found[0] - found[1]


def _number(text: str, mapping: CsvMapping, number: int) -> Decimal:
    """With Indian or European grouping: the mark that is not the decimal one only groups."""
    grouping = "," if mapping.decimal_mark == "." else "."
    try:
        return parse_amount(text.replace(grouping, "").replace(mapping.decimal_mark, "."))
    except ValueError:
        raise _broken(number, "its amount is no number") from None


def _day(text: str, mapping: CsvMapping, number: int) -> date:
    try:
        return datetime.strptime(text, mapping.date_format).date()  # noqa: DTZ007 - a bank day has no zone
    except ValueError:
        raise _broken(number, f"its date is not {mapping.date_format}") from None


def _broken(number: int, what: str) -> SourceContractError:
    return SourceContractError(f"Line {number} of the CSV cannot be used: {what}.", fix=FIX)
