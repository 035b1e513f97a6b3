"""The dlt destination that writes the raw log: one file of records, one transaction.

    parquet file -> COPY to a temporary table -> INSERT ... ON CONFLICT DO NOTHING
                 -> quarantine -> feed cursor and progress of windows (greatest position in the file, never back)

Why not dlt's own PostgreSQL destination: there the cursor is committed after the rows, in dlt's state (decision 0002).
Here both are one transaction, so killing the process at any instant loses nothing, and re-reading is free.
"""

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import psycopg
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from dlt.common.destination.exceptions import DestinationTerminalException
from psycopg import sql

from pipelines.core.postgres import LOADER, connect

RECORD_TABLES = frozenset(
    {
        "vima_operations",
        "payshack_payins",
        "payshack_payouts",
        "payshack_clients",
        "payshack_resellers",
        "payshack_service_providers",
    }
)
LOG_COLUMNS = (
    "record_id",
    "content_hash",
    "order_key",
    "source_order",
    "source_created_at",
    "source_updated_at",
    "payload",
    "observed_at",
    "load_mode",
    "load_scope",
    "load_page",
)
QUARANTINE_COLUMNS = (
    "record_id",
    "order_key",
    "content_hash",
    "payload",
    "source_created_at",
    "observed_at",
    "load_mode",
    "load_scope",
    "load_page",
)
BATCH_ROWS = 5_000

OnCommit = Callable[[str, int, int], None]


class Sink:
    """Writes dlt's load files to the raw log and remembers the first failure, which dlt would wrap."""

    def __init__(self, *, url: str, source: str, clock: Callable[[], datetime], on_commit: OnCommit) -> None:
        self._url = url
        self._source = source
        self._clock = clock
        self._on_commit = on_commit
        self.failure: Exception | None = None

    def destination(self) -> Any:
        """The dlt destination. Files are taken one at a time, so the cursor only ever follows committed rows."""

        @dlt.destination(
            name="raw_log",
            loader_file_format="parquet",
            batch_size=0,
            max_parallel_load_jobs=1,
            loader_parallelism_strategy="sequential",
            naming_convention="direct",
        )
        def raw_log(items: str, table: dict[str, Any]) -> None:
            try:
                self._load_file(Path(items), str(table["name"]))
            except Exception as error:
                self.failure = self.failure or error
                # dlt would retry what it does not know to be final; the caller decides about that.
                raise DestinationTerminalException(type(error).__name__) from error

        return raw_log()

    def _load_file(self, path: Path, table: str) -> None:
        if table not in RECORD_TABLES:
            raise ValueError(f"{table} is no table of the raw log")
        load_id = path.parent.parent.name
        # The connection's block is the transaction: committed at its end, undone by whatever interrupts it.
        with connect(self._url, role=LOADER, application="psp-load") as connection:
            self._copy(connection, path)
            new = self._insert_new(connection, table, load_id)
            quarantined = self._quarantine(connection, table, load_id)
            self._move_cursor(connection, table, load_id)
            self._move_windows(connection, table, load_id)
        self._on_commit(table, new, quarantined)

    def _copy(self, connection: psycopg.Connection, path: Path) -> None:
        connection.execute(
            """
            create temporary table incoming (
                record_id text, content_hash text, order_key text, source_order bigint,
                source_created_at timestamptz, source_updated_at timestamptz, payload text,
                observed_at timestamptz, load_mode text, load_scope text, load_page integer, load_position bigint,
                quarantine_reason text, quarantine_detail text
            ) on commit drop
            """
        )
        options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
        with connection.cursor().copy("copy incoming from stdin (format csv)") as copy:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS):
                buffer = io.BytesIO()
                arrow_csv.write_csv(pa.Table.from_batches([batch]), buffer, options)
                copy.write(buffer.getbuffer())

    def _insert_new(self, connection: psycopg.Connection, table: str, load_id: str) -> int:
        columns = sql.SQL(", ").join(map(sql.Identifier, LOG_COLUMNS))
        values = _values(LOG_COLUMNS)
        # Ordered, so that two loads that meet wait for each other instead of dead-locking.
        statement = sql.SQL(
            "insert into raw.{table} ({columns}, _dlt_load_id)"
            " select distinct on (record_id, content_hash) {values}, %s"
            " from incoming where quarantine_reason is null order by record_id, content_hash, load_page"
            " on conflict (record_id, content_hash) do nothing"
        ).format(table=sql.Identifier(table), columns=columns, values=values)
        return connection.execute(statement, (load_id,)).rowcount

    def _quarantine(self, connection: psycopg.Connection, table: str, load_id: str) -> int:
        columns = sql.SQL(", ").join(map(sql.Identifier, QUARANTINE_COLUMNS))
        values = _values(QUARANTINE_COLUMNS)
        statement = sql.SQL(
            "insert into raw.quarantine (source_table, {columns}, reason, detail, _dlt_load_id)"
            " select distinct on (content_hash) %s, {values}, quarantine_reason, quarantine_detail, %s"
            " from incoming where quarantine_reason is not null order by content_hash, load_page"
            " on conflict (source_table, content_hash) do nothing"
        ).format(columns=columns, values=values)
        return connection.execute(statement, (table, load_id)).rowcount

    def _move_cursor(self, connection: psycopg.Connection, table: str, load_id: str) -> None:
        connection.execute(
            """
            insert into raw.source_cursors as known (source, stream, cursor_value, moved_at, _dlt_load_id)
            select %s, %s, max(load_position)::text, %s, %s
            from incoming
            where load_mode = 'feed'
            having max(load_position) is not null
            on conflict (source, stream) do update
            set cursor_value = excluded.cursor_value, moved_at = excluded.moved_at, _dlt_load_id = excluded._dlt_load_id
            where excluded.cursor_value::numeric > known.cursor_value::numeric
            """,
            (self._source, table, self._clock(), load_id),
        )

    def _move_windows(self, connection: psycopg.Connection, table: str, load_id: str) -> None:
        connection.execute(
            """
            insert into raw.window_progress as known
                (source, stream, window_date, position, started_at, moved_at, _dlt_load_id)
            select %s, %s, load_scope::date, max(load_position)::text, min(observed_at), %s, %s
            from incoming
            where load_mode = 'window' and load_position is not null
            group by load_scope
            on conflict (source, stream, window_date) do update
            set
                position = greatest(known.position::numeric, excluded.position::numeric)::text,
                started_at = case when known.position is null then excluded.started_at else known.started_at end,
                moved_at = excluded.moved_at,
                _dlt_load_id = excluded._dlt_load_id
            """,
            (self._source, table, self._clock(), load_id),
        )


def _values(columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("payload::jsonb") if name == "payload" else sql.Identifier(name) for name in columns
    )
