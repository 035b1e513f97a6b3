"""A bank statement file into the raw log, in one transaction: all of it or nothing, and each line once.

    file -> sources.bank -> statements, keyed lines -> raw.bank_statements, raw.bank_lines

The same file, or another one with the same lines, adds nothing. Usable without Dagster.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pipelines.core.errors import LoadError, SourceError
from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sources.bank.csv_lines import CsvMapping, read_mapping
from pipelines.sources.bank.files import FileFormat, file_format, read_statements
from pipelines.sources.bank.lines import BankStatement, keyed

_LINE_COLUMNS = (
    "line_key, line_hash, occurrence, account, currency, value_date, booked_on, amount, reference, narration,"
    " file_hash, statement_number, line_number, observed_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankLoadReport:
    """What loading a file did."""

    file: str
    file_format: FileFormat
    statements: int
    lines_read: int
    lines_new: int
    is_known_file: bool
    duration_seconds: float


def load_bank_file(settings: Settings, path: Path, *, mapping_path: Path | None = None) -> BankLoadReport:
    """Load a statement file, or nothing of it. Raises SourceError, LoadError, DatabaseError."""
    began = time.monotonic()
    content = _content(path)
    mapping: CsvMapping | None = read_mapping(_content(mapping_path)) if mapping_path else None
    statements = read_statements(content, name=path.name, mapping=mapping)
    file_hash = hashlib.sha256(content).hexdigest()
    with connect(database_url(settings), role=LOADER, application="psp-bank") as connection:
        try:
            known = connection.execute(
                "select true from raw.bank_statements where file_hash = %s limit 1", (file_hash,)
            ).fetchone()
            new = _write(connection, settings, path.name, content, file_hash, statements)
        except psycopg.errors.UndefinedTable:
            raise LoadError("The warehouse has not been prepared.", fix="run `psp up` or `psp sync all` once") from None
        except psycopg.Error as error:
            raise LoadError(
                f"The statement cannot be stored: {error.diag.message_primary or type(error).__name__}.",
                fix="nothing of it was loaded; run `psp doctor`, then load it again",
            ) from None
    return BankLoadReport(
        file=path.name,
        file_format=file_format(content),
        statements=len(statements),
        lines_read=sum(len(statement.lines) for statement in statements),
        lines_new=new,
        is_known_file=known is not None,
        duration_seconds=time.monotonic() - began,
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}.", fix="give the path of a file") from None


def _write(
    connection: psycopg.Connection,
    settings: Settings,
    name: str,
    content: bytes,
    file_hash: str,
    statements: list[BankStatement],
) -> int:
    now = settings.clock()
    connection.execute("create temporary table arriving (like raw.bank_lines) on commit drop")
    connection.execute("alter table arriving alter column loaded_xid drop not null")
    with connection.cursor().copy(f"copy arriving ({_LINE_COLUMNS}) from stdin") as copy:
        for number, statement in enumerate(statements, 1):
            for line_number, found in enumerate(keyed(statement.lines), 1):
                line = found.line
                copy.write_row(
                    (
                        *(found.key, found.line_hash, found.occurrence, line.account, line.currency, line.value_date),
                        *(line.booked_on, line.amount, line.reference, line.narration),
                        *(file_hash, number, line_number, now),
                    )
                )
    inserted = connection.execute(
        f"insert into raw.bank_lines ({_LINE_COLUMNS}) select {_LINE_COLUMNS} from arriving"  # noqa: S608 - our names
        " on conflict (line_key) do nothing"
    )
    for number, statement in enumerate(statements, 1):
        connection.execute(
            "insert into raw.bank_statements (file_hash, statement_number, file_name, file_format, account, currency,"
            " statement_name, first_day, last_day, opening_balance, closing_balance, line_count, observed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            (
                *(file_hash, number, name, file_format(content), statement.account, statement.currency),
                *(statement.name, statement.first_day, statement.last_day, statement.opening_balance),
                *(statement.closing_balance, len(statement.lines), now),
            ),
        )
    return inserted.rowcount
