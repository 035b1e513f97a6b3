"""One export: rows of a mart from one snapshot through one COPY, in constant memory at any size.

    filters -> one read-only snapshot: as-of, count, COPY (select ...) TO STDOUT csv
                                       -> sha256, bytes -> CSV as it is
                                                        -> lines -> XLSX (workbook.py)
                                                        -> lines -> Parquet (pipelines/mirror/parquet.py)
    ops.exports: a row before the first byte, closed with outcome, rows and hash

What a spreadsheet would take for a formula is disarmed in the query: see datasets.py. Parquet is for programs: there
nothing is disarmed, and types stay what they are.
The content hash is that of the rows as CSV, so a CSV and an XLSX of the same rows have the same one, and `sha256sum` of
a CSV file gives it. That of a Parquet file is `sha256sum` of the file.
"""

import csv
import hashlib
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.mirror.parquet import Drain, Field, ParquetWriter, fields_of, select_list
from pipelines.sidecar import freshness
from pipelines.sidecar.database import ROLE
from pipelines.sidecar.datasets import DATASETS, What, described
from pipelines.sidecar.filters import Filters
from pipelines.sidecar.workbook import Column, write_workbook

Format = Literal["csv", "xlsx", "parquet"]
Outcome = Literal["completed", "cancelled", "failed"]
Progress = Callable[[int, int], None]

CHUNK_BYTES = 256 * 1024
TIMEOUT_MINUTES = 60
PROGRESS_ROWS = 5000
HASH = "Content SHA-256"
CALLED_OFF = "the export has been called off"

MEDIA_TYPES: Mapping[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What an export held; `cover` is the cover note, line by line."""

    export_id: uuid.UUID
    rows: int
    bytes: int
    as_of: datetime | None
    content_sha256: str
    cover: tuple[tuple[str, str], ...]


class Export:
    """One export: opened on a snapshot, read once through `chunks`, closed with how it ended.

    Blocking, for one thread; only `interrupt` may be called from another. Raises DatabaseError or psycopg's errors.
    """

    def __init__(self, settings: Settings, what: What, filters: Filters, fmt: Format, *, actor: str) -> None:
        self.id = uuid.uuid4()
        self.what, self.format = what, fmt
        self.as_of: datetime | None = None
        self.rows = 0
        self._settings, self._filters, self._actor = settings, filters, actor
        self._dataset = DATASETS[what]
        self._clock_at = settings.clock()
        self._digest = hashlib.sha256()
        self._rows_sent = self._bytes_sent = 0
        self._url = database_url(settings)
        self._columns: list[Column] = []
        self._fields: list[Field] = []
        self._query: sql.Composed | None = None
        self._interrupted = self._closed = False
        self._progress: Progress | None = None
        self._pieces: Generator[bytes, None, None] | None = None
        self._connection = self._connect()
        try:
            self._record_start()
            self._open_snapshot()
        except BaseException:
            self.close("failed")
            raise

    @property
    def file_name(self) -> str:
        """A name that tells what, and as of when."""
        return f"{self.what}_{(self.as_of or self._clock_at):%Y%m%dT%H%M%SZ}.{self.format}"

    def chunks(self, progress: Progress | None = None) -> Iterator[bytes]:
        """The file, in pieces. `progress` hears of the rows read so far and of all."""
        self._progress = progress
        makers = {"csv": self._csv_chunks, "xlsx": self._workbook_chunks, "parquet": self._parquet_chunks}
        self._pieces = makers[self.format]()
        for piece in self._pieces:
            self._bytes_sent += len(piece)
            yield piece
        if self._rows_sent != self.rows:
            raise DatabaseError("The export is not whole.", fix="run it again")

    def interrupt(self) -> None:
        """End the query at once, wherever the reading thread is."""
        self._interrupted = True
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5)

    def close(self, outcome: Outcome) -> None:
        """Free the database and write down how it ended. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._pieces is not None:
            self._pieces.close()
        self._connection.close()
        try:
            with self._connect() as connection:
                connection.execute(
                    "update ops.exports set outcome = %(outcome)s, finished_at = clock_timestamp(), as_of = %(as_of)s,"
                    " row_count = %(rows)s, bytes_sent = %(bytes)s, content_sha256 = %(sha256)s"
                    " where export_id = %(id)s and outcome = 'running'",
                    {
                        "outcome": outcome,
                        "as_of": self.as_of,
                        "rows": self._rows_sent,
                        "bytes": self._bytes_sent,
                        "sha256": self._digest.hexdigest() if outcome == "completed" else None,
                        "id": self.id,
                    },
                )
        except (psycopg.Error, DatabaseError) as error:
            if outcome == "completed":
                raise DatabaseError("The end of an export could not be recorded.", fix="export again") from error
            # The export failed because the database went away; its line stays open and says so.

    def report(self) -> Report:
        """What was exported; to be asked when all chunks have been read."""
        sha256 = self._digest.hexdigest()
        used = {name: _plain(value) for name, value in self._filters.used().items()}
        cover = (
            ("What", f"{self.what}, from marts.{self._dataset.mart}"),
            ("Filters", "; ".join(f"{name} = {value}" for name, value in used.items()) or "none"),
            ("Rows", str(self._rows_sent)),
            ("As of", f"{_instant(self.as_of)}, up to which all sources are complete"),
            ("Clock", _instant(self._clock_at)),
            ("Business dates in", self._settings.psp_business_timezone),
            ("Instants in", "UTC"),
            (HASH, f"{sha256}, of the {'file' if self.format == 'parquet' else 'rows as UTF-8 CSV'}"),
            ("Exported by", self._actor),
            ("Export id", str(self.id)),
        )
        return Report(self.id, self._rows_sent, self._bytes_sent, self.as_of, sha256, cover)

    def _connect(self) -> psycopg.Connection:
        return connect(self._url, role=ROLE, autocommit=True, application="psp-export")

    def _record_start(self) -> None:
        self._connection.execute(
            "insert into ops.exports (export_id, actor, dataset, format, filters, clock_at)"
            " values (%s, %s, %s, %s, %s, %s)",
            (
                self.id,
                self._actor,
                self.what,
                self.format,
                Jsonb({name: _plain(value) for name, value in self._filters.used().items()}),
                self._clock_at,
            ),
        )

    def _open_snapshot(self) -> None:
        run = self._connection.execute
        run(sql.SQL("set statement_timeout = {}").format(f"{TIMEOUT_MINUTES}min"))
        # Parallel workers would wait as long as a slow reader does.
        run("set max_parallel_workers_per_gather = 0")
        run("begin isolation level repeatable read read only")
        fresh = run(freshness.QUERY, freshness.parameters(self._settings)).fetchone()
        self.as_of = fresh[0] if fresh else None
        where, used = self._filters.where(), self._filters.used()
        relation = self._dataset.relation
        if self.format == "parquet":
            self._fields = fields_of(self._connection, relation, list(self._dataset.row.model_fields))
            selected = select_list(self._fields)
        else:
            self._columns, selected = described(self._connection, self._dataset)
        counted = run(sql.SQL("select count(*) from {} where {}").format(relation, where), used).fetchone()
        self.rows = int(counted[0]) if counted else 0
        self._query = sql.SQL(
            "copy (select {} from {} where {} order by {}) to stdout (format csv, header, encoding 'UTF8')"
        ).format(selected, relation, where, self._dataset.ordering)

    def _lines(self) -> Iterator[bytes]:
        """The CSV, line by line (a line may hold line feeds within quotes), the header first; counted and hashed."""
        if self._query is None:
            raise ValueError("an export is opened before it is read")
        sent = -1
        try:
            with self._connection.cursor().copy(self._query, self._filters.used()) as copy:
                for line in copy:
                    sent += 1
                    if sent % PROGRESS_ROWS == 0 and self._progress:
                        self._progress(sent, self.rows)
                    yield bytes(line)
        finally:
            self._rows_sent = max(sent, 0)
        if self._progress:
            self._progress(sent, self.rows)

    def _csv_chunks(self) -> Generator[bytes, None, None]:
        pending: list[bytes] = []
        size = 0
        for line in self._lines():
            pending.append(line)
            size += len(line)
            if size >= CHUNK_BYTES:
                yield self._joined(pending)
                pending, size = [], 0
        yield self._joined(pending)

    def _joined(self, lines: list[bytes]) -> bytes:
        chunk = b"".join(lines)
        self._digest.update(chunk)
        return chunk

    def _workbook_chunks(self) -> Generator[bytes, None, None]:
        home = self._settings.psp_home / "exports"
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as folder:
            path = Path(folder) / "export.xlsx"
            write_workbook(
                path, title=self.what, columns=self._columns, rows=self._records(), cover=lambda: self.report().cover
            )
            with path.open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece

    def _parquet_chunks(self) -> Generator[bytes, None, None]:
        drain = Drain()
        writer = ParquetWriter(drain, self._fields)
        lines = self._lines()
        next(lines)
        for line in lines:
            if self._interrupted:
                raise InterruptedError(CALLED_OFF)
            if writer.add(line):
                yield self._joined([drain.take()])
        # The hash of the file cannot be in the file.
        writer.close({name: value for name, value in self.report().cover if name != HASH})
        yield self._joined([drain.take()])

    def _records(self) -> Iterator[list[str]]:
        def hashed() -> Iterator[str]:
            for line in self._lines():
                self._digest.update(line)
                yield line.decode("utf-8")

        records = csv.reader(hashed(), strict=True)
        next(records)
        for record in records:
            if self._interrupted:
                raise InterruptedError(CALLED_OFF)
            yield record


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _instant(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else "unknown"
