"""Rows as XLSX with constant memory: numbers as numbers, dates as dates, everything else as text, never as a formula.

The first sheet is the cover; rows follow on as many sheets as Excel's limit asks for. Excel keeps 15 digits: a number
with more is written as text, so that it stays exact. Instants lose their zone, since Excel has none: they are UTC.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import xlsxwriter

Kind = Literal["number", "date", "instant", "boolean", "text"]
Cover = Sequence[tuple[str, str]]

SHEET_ROWS = 1_048_576
EXCEL_DIGITS = 15
EXCEL_EPOCH = date(1899, 12, 30).toordinal()
SECONDS_OF_DAY = 86400
WIDTHS: dict[Kind, int] = {"number": 14, "date": 12, "instant": 24, "boolean": 10, "text": 22}
FORMATS: dict[Kind, str] = {"date": "yyyy-mm-dd", "instant": "yyyy-mm-dd hh:mm:ss.000"}


@dataclass(frozen=True, slots=True)
class Column:
    """Name and kind of a column."""

    name: str
    kind: Kind


def write_workbook(
    path: Path,
    *,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    cover: Callable[[], Cover],
    sheet_rows: int = SHEET_ROWS,
) -> None:
    """Write `rows`, each the texts of a CSV line, to `path`. `cover` is asked when the last row has been written."""
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
    # A full sheet of a wide mart is more than a plain ZIP may hold.
    book.use_zip64()
    try:
        _fill(book, title=title, columns=columns, rows=rows, cover=cover, sheet_rows=sheet_rows)
    except BaseException:
        # Closing would pack all rows so far, for nobody.
        for sheet in book.worksheets():
            sheet.row_data_fh.close()
        raise
    book.close()


def _fill(
    book: Any,
    *,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    cover: Callable[[], Cover],
    sheet_rows: int,
) -> None:
    front = book.add_worksheet("cover")
    bold = book.add_format({"bold": True})
    formats = {kind: book.add_format({"num_format": pattern}) for kind, pattern in FORMATS.items()}
    sheet, line, sheets = None, 0, 0
    writers: list[Callable[[int, str], object]] = []
    for row in rows:
        if sheet is None or line == sheet_rows:
            sheets += 1
            sheet, line = _new_sheet(book, title if sheets == 1 else f"{title} {sheets}", columns, bold), 1
            writers = [_writer(sheet, number, column, formats) for number, column in enumerate(columns)]
        for write, text in zip(writers, row, strict=True):
            if text:
                write(line, text)
        line += 1
    if sheet is None:
        _new_sheet(book, title, columns, bold)
    front.set_column(0, 0, 24)
    front.set_column(1, 1, 90)
    for number, (name, value) in enumerate(cover()):
        front.write_string(number, 0, name, bold)
        front.write_string(number, 1, value)


def _new_sheet(book: Any, name: str, columns: Sequence[Column], bold: Any) -> Any:
    sheet = book.add_worksheet(name)
    for number, column in enumerate(columns):
        sheet.set_column(number, number, WIDTHS[column.kind])
    sheet.freeze_panes(1, 0)
    for number, column in enumerate(columns):
        sheet.write_string(0, number, column.name, bold)
    return sheet


def _writer(sheet: Any, number: int, column: Column, formats: dict[Kind, Any]) -> Callable[[int, str], object]:
    """How a cell of the column is written."""
    if column.kind == "number":
        return lambda line, text: (
            sheet.write_number(line, number, float(text))
            if len(text) <= EXCEL_DIGITS or _digits(text) <= EXCEL_DIGITS
            else sheet.write_string(line, number, text)
        )
    if column.kind == "date":
        form = formats["date"]
        return lambda line, text: sheet.write_number(line, number, excel_date(text), form)
    if column.kind == "instant":
        form = formats["instant"]
        return lambda line, text: sheet.write_number(line, number, excel_instant(text), form)
    if column.kind == "boolean":
        return lambda line, text: sheet.write_boolean(line, number, text == "true")
    return lambda line, text: sheet.write_string(line, number, text)


def excel_date(text: str) -> int:
    """Days since Excel's epoch of a date written as 2026-01-15."""
    return date.fromisoformat(text).toordinal() - EXCEL_EPOCH


def excel_instant(text: str) -> float:
    """Days since Excel's epoch of an instant written as 2026-01-15T10:00:00.123Z."""
    hours, minutes, seconds = text[11:].rstrip("Z").split(":")
    return excel_date(text[:10]) + (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) / SECONDS_OF_DAY


def _digits(text: str) -> int:
    """Significant digits of a plain decimal."""
    return len(text.replace(".", "").lstrip("-0"))
