"""Statements of all three formats, as banks write them: exact, signed, whole or refused."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.core.errors import SourceContractError, SourceError
from pipelines.sources.bank.csv_lines import read_mapping
from pipelines.sources.bank.files import file_format, read_statements
from pipelines.sources.bank.lines import BankLine, BankStatement, keyed

FILES = Path(__file__).parent / "bank_files"
CAMT, MT940, CSV = (FILES / name for name in ("day.camt053.xml", "day.mt940.sta", "day.csv"))
MAPPING = read_mapping((FILES / "mapping.toml").read_bytes())


def read(path: Path, *changes: tuple[str, str]) -> list[BankStatement]:
    """The statements of a file, after some changes of its text, each of which must find its place."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return read_statements(text.encode(), name=path.name, mapping=MAPPING if path == CSV else None)


def said(line: BankLine) -> tuple[str, str, str, str | None, str]:
    return str(line.amount), str(line.value_date), str(line.booked_on), line.reference, line.narration


def test_the_beginning_of_a_file_tells_its_format() -> None:
    assert [file_format(path.read_bytes()) for path in (CAMT, MT940, CSV)] == ["camt053", "mt940", "csv"]
    assert file_format(b"\xef\xbb\xbf  <?xml") == "camt053"
    assert file_format(b"{1:F01EXMPINBBAXXX}{4:\n:20:X") == "mt940"


def test_camt053_is_read_entry_by_entry() -> None:
    (statement,) = read(CAMT)
    assert (statement.account, statement.currency, statement.name) == ("000000000001", "INR", "STMT-2026-01-15")
    assert (statement.first_day, statement.last_day) == (date(2026, 1, 15), date(2026, 1, 15))
    assert (statement.opening_balance, statement.closing_balance) == (Decimal(1000), Decimal("1520.25"))
    # Pending entries are no money yet; a collective entry is its transactions where these add up to it.
    assert [said(line) for line in statement.lines] == [
        (
            *("100.50", "2026-01-15", "2026-01-15", "000000000123"),
            "UPI/000000000123/TEST PAYER 1 000000000123",
        ),
        ("200.00", "2026-01-16", "2026-01-15", "TX-A", "TX-A COLLECTIVE CREDIT"),
        ("300.00", "2026-01-16", "2026-01-15", "TX-B", "TX-B COLLECTIVE CREDIT"),
        ("-80.25", "2026-01-15", "2026-01-15", "FEE-1", "CHARGES"),
    ]


def test_a_collective_entry_whose_parts_do_not_add_up_stays_whole() -> None:
    (statement,) = read(CAMT, ('<Amt Ccy="INR">300.00</Amt>', '<Amt Ccy="INR">299.00</Amt>'))
    assert [str(line.amount) for line in statement.lines] == ["100.50", "500.00", "-80.25"]


def test_mt940_is_read_line_by_line() -> None:
    first, second = read(MT940)
    assert (first.account, first.currency, first.name) == ("000000000001", "INR", "STMT-15")
    assert (first.opening_balance, first.closing_balance) == (Decimal("1000.00"), Decimal("1510.25"))
    assert [said(line) for line in first.lines] == [
        (
            *("100.50", "2026-01-15", "2026-01-15", "000000000123"),
            "UPI/000000000123/TEST PAYER 1 000000000123 BANK0001",
        ),
        ("500.00", "2026-01-16", "2026-01-15", "BANK0002", "SETTLEMENT 2026-01-15 BANK0002"),
        ("-80.25", "2026-01-15", "2026-01-15", "FEE-1", "CHARGES FEE-1"),
        ("-10", "2026-01-15", "2026-01-15", "BACK-1", "REVERSAL OF A CREDIT BACK-1"),
    ]
    assert second.lines == []


def test_csv_is_read_by_its_mapping() -> None:
    (statement,) = read(CSV)
    assert [said(line) for line in statement.lines] == [
        ("100100.50", "2026-01-15", "2026-01-15", "000000000123", "UPI/000000000123/TEST PAYER 1"),
        ("500.00", "2026-01-16", "2026-01-15", None, "SETTLEMENT, 2026-01-15"),
        ("-80.25", "2026-01-15", "2026-01-15", "FEE-1", "CHARGES"),
        ("-80.25", "2026-01-15", "2026-01-15", "FEE-1", "CHARGES"),
    ]


def test_a_csv_with_one_amount_column_takes_its_direction_from_another() -> None:
    mapping = read_mapping(
        b'[statement]\naccount = "1"\ncurrency = "EUR"\ndelimiter = ";"\ndecimal_mark = ","\ncredit_word = "c"\n'
        b'[columns]\nvalue_date = "Tag"\nnarration = "Text"\namount = "Betrag"\ndirection = "DC"\n'
    )
    content = b"Tag;Text;Betrag;DC\n2026-01-15;a;1.234,50;C\n2026-01-15;b;0,50;D\n"
    (statement,) = read_statements(content, name="x.csv", mapping=mapping)
    assert [line.amount for line in statement.lines] == [Decimal("1234.50"), Decimal("-0.50")]


def test_equal_lines_are_told_apart_by_their_number_and_equal_files_are_equal() -> None:
    (statement,) = read(CSV)
    keys = [found.key for found in keyed(statement.lines)]
    assert len(set(keys)) == 4
    assert [found.occurrence for found in keyed(statement.lines)] == [1, 1, 1, 2]
    # An overlapping file that begins later gives the lines that it shares the same keys.
    assert [found.key for found in keyed(statement.lines[1:])] == keys[1:]
    (spaced,) = read(CSV, ("UPI/000000000123/TEST PAYER 1", "UPI/000000000123/TEST   PAYER 1 "))
    assert [found.key for found in keyed(spaced.lines)] == keys


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        (CAMT, "1520.25", "1520.26", "does not add up"),
        (CAMT, "100.50</Amt>", "100.505</Amt>", "not whole minor units"),
        (CAMT, "100.50</Amt>", "1e400</Amt>", "an amount is no number"),
        (CAMT, "100.50</Amt>", "-100.50</Amt>", "an amount is negative"),
        (CAMT, "<CdtDbtInd>DBIT", "<CdtDbtInd>BOTH", "neither credit nor debit"),
        (CAMT, '<Amt Ccy="INR">80.25', '<Amt Ccy="XXX">80.25', "not in the seed"),
        (CAMT, '<Amt Ccy="INR">80.25', '<Amt Ccy="EUR">80.25', "mixes accounts or currencies"),
        (CAMT, "<Dt>2026-01-16</Dt>", "<Dt>2026-13-16</Dt>", "a date cannot be read"),
        (CAMT, "camt.053.001.08", "camt.054.001.08", "no camt.053 document"),
        (CAMT, "</Document>", "", "not the XML"),
        (CAMT, "?>\n", '?>\n<!DOCTYPE x [<!ENTITY a "b">]>\n', "not the XML"),
        (MT940, "1510,25\n-\n:20:STMT-16", "1510,26\n-\n:20:STMT-16", "does not add up"),
        (MT940, ":61:2601150115D80,25NCHGFEE-1", ":61:26XX150115D80,25NCHGFEE-1", "cannot be read"),
        (MT940, ":60F:C260115INR1000,00\n", "", "lacks its account or a balance"),
        (CSV, "16/01/2026,\"SETTLEMENT", "2026-01-16,\"SETTLEMENT", "Line 5 of the CSV cannot be used: its date"),
        (CSV, ",500.00", ",5oo.00", "Line 5 of the CSV cannot be used: its amount is no number"),
        (CSV, ",500.00", "7,500.00", "credit and debit at once"),
        (CSV, ",500.00", ",500.00,1", "more cells than the header"),
        (CSV, "Deposit", "Credit", "no column Deposit"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_whole(path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SourceContractError, match=told):
        read(path, (old, new))


def test_a_csv_without_mapping_and_a_mapping_that_contradicts_itself_are_refused() -> None:
    with pytest.raises(SourceError, match="needs a mapping"):
        read_statements(CSV.read_bytes(), name="x.csv")
    text = (FILES / "mapping.toml").read_text(encoding="utf-8")
    for change, told in (
        (text + 'amount = "A"\n', "either the column `amount`, or"),
        (text + 'colour = "A"\n', "colour"),
        (text.replace('value_date = "Value Date"', ""), "value_date"),
        ("= no toml", "cannot be used"),
    ):
        with pytest.raises(SourceError, match=told):
            read_mapping(change.encode())
