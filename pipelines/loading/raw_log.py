"""The raw log's one way in: records of one table, appended within the caller's transaction.

    Arrow rows -> COPY to a temporary table -> INSERT ... ON CONFLICT DO NOTHING
               -> quarantine -> feed cursor and progress of windows (greatest position, never back)

Nothing is updated but the cursors; a version or a quarantined record that is there already is left as it is.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg
import pyarrow as pa
import pyarrow.csv as arrow_csv
from psycopg import sql

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """How many rows were not there before."""

    new: int
    quarantined: int


def append(
    connection: psycopg.Connection,
    batches: Iterable[pa.RecordBatch],
    *,
    source: str,
    table: str,
    load_id: str,
    now: datetime,
) -> Appended:
    """Append rows of RECORD_SCHEMA to raw.`table`, quarantine what breaks the contract, move the cursors."""
    if table not in RECORD_TABLES:
        raise ValueError(f"{table} is no table of the raw log")
    _copy(connection, batches)
    new = _insert_new(connection, table, load_id)
    quarantined = _quarantine(connection, table, load_id)
    _move_cursor(connection, source, table, load_id, now)
    _move_windows(connection, source, table, load_id, now)
    return Appended(new=new, quarantined=quarantined)


def _copy(connection: psycopg.Connection, batches: Iterable[pa.RecordBatch]) -> None:
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
        for batch in batches:
            buffer = io.BytesIO()
            arrow_csv.write_csv(pa.Table.from_batches([batch]), buffer, options)
            copy.write(buffer.getbuffer())


def _insert_new(connection: psycopg.Connection, table: str, load_id: str) -> int:
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


def _quarantine(connection: psycopg.Connection, table: str, load_id: str) -> int:
    columns = sql.SQL(", ").join(map(sql.Identifier, QUARANTINE_COLUMNS))
    values = _values(QUARANTINE_COLUMNS)
    statement = sql.SQL(
        "insert into raw.quarantine (source_table, {columns}, reason, detail, _dlt_load_id)"
        " select distinct on (content_hash) %s, {values}, quarantine_reason, quarantine_detail, %s"
        " from incoming where quarantine_reason is not null order by content_hash, load_page"
        " on conflict (source_table, content_hash) do nothing"
    ).format(columns=columns, values=values)
    return connection.execute(statement, (table, load_id)).rowcount


def _move_cursor(connection: psycopg.Connection, source: str, table: str, load_id: str, now: datetime) -> None:
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
        (source, table, now, load_id),
    )


def _move_windows(connection: psycopg.Connection, source: str, table: str, load_id: str, now: datetime) -> None:
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
        (source, table, now, load_id),
    )


def _values(columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("payload::jsonb") if name == "payload" else sql.Identifier(name) for name in columns
    )
