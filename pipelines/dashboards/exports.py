"""Scheduled files: a card's rows as CSV and XLSX in PSP_HOME/exports, of any size, whole or not at all.

    deploy.yaml exports -> card with fixed filter values -> <name>_<first day>[_<last day>].csv, .xlsx, and the
    mart's own count

Rows are streamed from one snapshot, so memory does not grow with them. Numbers stay exact in CSV; a spreadsheet
keeps 15 digits, so a longer number is text there. A text that a spreadsheet would run as a formula gets a ' in front.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import xlsxwriter
from psycopg import sql

from pipelines.core.settings import Settings
from pipelines.dashboards.dates import Days, parse_days
from pipelines.dashboards.deploy import ScheduledExport, card_named
from pipelines.dashboards.entities import Content
from pipelines.dashboards.templates import render
from pipelines.dashboards.warehouse import business_today, reading

BATCH_ROWS = 5000
SHEET_ROWS = 1_048_575
EXACT_DIGITS = 15
EXPORT_SECONDS = 1800
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one export, their rows, and how many the mart itself has for those days."""

    files: tuple[Path, ...]
    rows: int
    rows_in_mart: int
    days: Days


def write_export(settings: Settings, content: Content, export: ScheduledExport, folder: Path) -> Written:
    """Write it. A file of the same days is replaced. Raises DashboardError and DatabaseError."""
    today = business_today(settings)
    days = parse_days(export.filters["period"][0], today)
    statement = render(card_named(content, export.card), export.filters, today)
    folder.mkdir(parents=True, exist_ok=True)
    targets = {kind: folder / f"{export.name}_{_label(days)}.{kind}" for kind in export.formats}
    partial = {kind: path.with_name(f".{path.name}.part") for kind, path in targets.items()}
    try:
        with reading(settings, seconds=EXPORT_SECONDS) as connection:
            rows = 0
            for place, kind in enumerate(export.formats):
                with connection.cursor(name=f"export_{place}") as cursor:
                    cursor.itersize = BATCH_ROWS
                    cursor.execute(statement.text.encode(), statement.parameters)
                    first = cursor.fetchmany(1)
                    columns = [column.name for column in cursor.description or ()]
                    rows = _WRITERS[kind](partial[kind], columns, _all(first, cursor))
            counted = _count(connection, export, days)
        for kind, path in targets.items():
            partial[kind].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return Written(tuple(targets.values()), rows, counted, days)


def _label(days: Days) -> str:
    ends = dict.fromkeys(str(day) for day in (days.first, days.last) if day is not None)
    return "_".join(ends) or "all"


def _all(first: Sequence[tuple[Any, ...]], cursor: "psycopg.ServerCursor[Any]") -> Iterator[tuple[Any, ...]]:
    """What was fetched to learn the columns, then the rest in batches."""
    yield from first
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield from rows


def _count(connection: psycopg.Connection[Any], export: ScheduledExport, days: Days) -> int:
    """The mart's rows of those days, counted without the card's query."""
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if days.first is not None:
        conditions.append(sql.SQL("business_date >= {}").format(sql.Literal(days.first)))
    if days.last is not None:
        conditions.append(sql.SQL("business_date <= {}").format(sql.Literal(days.last)))
    if export.counted_statuses:
        conditions.append(sql.SQL("status = any({})").format(sql.Literal(export.counted_statuses)))
    query = sql.SQL("select count(*) from {} where {}").format(
        sql.Identifier("marts", export.counted_by), sql.SQL(" and ").join(conditions)
    )
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is the count
            writer.writerow([_text(value) for value in row])
    return count


def _write_xlsx(path: Path, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> int:
    with xlsxwriter.Workbook(path, {"constant_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        instant = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet, line, count = None, 0, 0
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the last number is the count
            if sheet is None or line > SHEET_ROWS:
                sheet, line = book.add_worksheet(), 1
                sheet.write_row(0, 0, columns)
            for place, value in enumerate(row):
                _cell(sheet, line, place, value, instant)
            line += 1
        if sheet is None:
            book.add_worksheet().write_row(0, 0, columns)
    return count


_WRITERS: dict[str, Callable[[Path, Sequence[str], Iterator[tuple[Any, ...]]], int]] = {
    "csv": _write_csv,
    "xlsx": _write_xlsx,
}


def _cell(sheet: Any, line: int, place: int, value: Any, instant: Any) -> None:
    if value is None:
        return
    if isinstance(value, datetime):
        # A workbook knows no zones: the wall clock is that of the business time zone.
        sheet.write_datetime(line, place, value.replace(tzinfo=None), instant)
    elif isinstance(value, date):
        sheet.write_datetime(line, place, datetime(value.year, value.month, value.day))  # noqa: DTZ001 - a date
    elif isinstance(value, bool):
        sheet.write_boolean(line, place, value)
    elif isinstance(value, int | float | Decimal) and len(str(value).replace(".", "").lstrip("-0")) <= EXACT_DIGITS:
        sheet.write_number(line, place, value)
    else:
        sheet.write_string(line, place, str(_text(value)))


def _text(value: Any) -> Any:
    """A cell of a CSV: instants with their zone, lists in one cell, text that is no formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return value
