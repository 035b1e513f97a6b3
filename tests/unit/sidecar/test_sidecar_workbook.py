"""XLSX: numbers are numbers, dates are dates, text is text, and no row is lost at a sheet's end."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from pipelines.sidecar.workbook import Column, write_workbook

COLUMNS = [
    Column("name", "text"),
    Column("amount", "number"),
    Column("day", "date"),
    Column("at", "instant"),
    Column("ok", "boolean"),
]


def write(path: Path, rows: list[list[str]], **changes: int) -> openpyxl.Workbook:
    write_workbook(path, title="rows", columns=COLUMNS, rows=rows, cover=lambda: [("Rows", str(len(rows)))], **changes)
    return openpyxl.load_workbook(path)


def test_cells_have_their_kind(tmp_path: Path) -> None:
    row = ["007", "-12.50", "2026-01-15", "2026-01-15T10:20:30.25Z", "true"]

    sheet = write(tmp_path / "a.xlsx", [row, ["", "", "", "", "false"]])["rows"]

    name, amount, day, at, ok = sheet[2]
    assert (name.value, name.data_type) == ("007", "s")
    assert (amount.value, amount.data_type) == (-12.5, "n")
    assert (day.value, day.is_date) == (datetime(2026, 1, 15), True)  # noqa: DTZ001 - Excel has no zones
    assert at.value == datetime(2026, 1, 15, 10, 20, 30, 250000)  # noqa: DTZ001
    assert ok.value is True
    assert [cell.value for cell in sheet[3]] == [None, None, None, None, False]


def test_a_number_beyond_excels_digits_stays_exact_as_text(tmp_path: Path) -> None:
    numbers = [
        "123456789012345.67",
        "-0.1234567890123456",
        "999999999999999",
        "0.000000000000001",
        "100000000000000000",
    ]

    sheet = write(tmp_path / "a.xlsx", [["", number, "", "", ""] for number in numbers])["rows"]

    assert [sheet.cell(row, 2).value for row in range(2, 7)] == [
        "123456789012345.67",
        "-0.1234567890123456",
        999999999999999,
        1e-15,
        "100000000000000000",
    ]


def test_text_is_never_a_formula(tmp_path: Path) -> None:
    sheet = write(tmp_path / "a.xlsx", [["=1+1", "", "", "", ""]])["rows"]

    assert (sheet["A2"].value, sheet["A2"].data_type) == ("=1+1", "s")


def test_rows_go_on_in_the_next_sheet(tmp_path: Path) -> None:
    rows = [[str(number), "1", "", "", ""] for number in range(10)]

    book = write(tmp_path / "a.xlsx", rows, sheet_rows=4)

    assert book.sheetnames == ["cover", "rows", "rows 2", "rows 3", "rows 4"]
    found = [cell.value for name in book.sheetnames[1:] for cell in book[name]["A"][1:]]
    assert found == [str(number) for number in range(10)]
    assert all(book[name]["A1"].value == "name" for name in book.sheetnames[1:])


def test_a_failure_among_the_rows_comes_through_and_packs_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[list[str]]:
        yield ["a", "1", "", "", ""]
        raise InterruptedError("called off")

    with pytest.raises(InterruptedError):
        write_workbook(tmp_path / "a.xlsx", title="rows", columns=COLUMNS, rows=rows(), cover=list)
    assert not (tmp_path / "a.xlsx").exists()


def test_no_rows_are_a_sheet_with_a_header(tmp_path: Path) -> None:
    book = write(tmp_path / "a.xlsx", [])

    assert book.sheetnames == ["cover", "rows"]
    assert [cell.value for cell in book["rows"][1]] == [column.name for column in COLUMNS]
    assert (book["cover"]["A1"].value, book["cover"]["B1"].value) == ("Rows", "0")
