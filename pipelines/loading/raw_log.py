"""The raw log's one way in: records of one table, appended within the caller's transaction.

    Arrow rows -> sorted, each version once -> less those that are there (only keys travel) -> binary COPY
               -> quarantine -> feed cursor and progress of windows (greatest position, never back)

Nothing is updated but the cursors; a version or a quarantined record that is there already is left as it is. Two loads
that bring the same version at the same moment wait for each other; the later one then goes the slower way, through a
temporary table and ON CONFLICT DO NOTHING.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.compute as compute
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql

from pipelines.sources.common.records import RECORD_SCHEMA

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


BATCH_ROWS = 1_000


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
    rows = pa.Table.from_batches(batches, schema=RECORD_SCHEMA)
    new = _insert(connection, table, _fresh(connection, table, rows), load_id)
    quarantined = _quarantine(connection, table, rows.filter(compute.is_valid(rows["quarantine_reason"])), load_id)
    placed = rows.select(["load_mode", "load_scope", "load_position", "observed_at"])
    placed = placed.filter(compute.is_valid(placed["load_position"]))
    _move_cursor(connection, source, table, placed, load_id, now)
    _move_windows(connection, source, table, placed, load_id, now)
    return Appended(new=new, quarantined=quarantined)


def _fresh(connection: psycopg.Connection, table: str, rows: pa.Table) -> pa.Table:
    """The good rows that are not in the log yet, each version once, as it was seen first.

    In one order, so that loads that meet wait for each other, never in a circle.
    """
    ids, hashes = rows["record_id"].to_pylist(), rows["content_hash"].to_pylist()
    places: dict[tuple[str, str], int] = {}
    for place, (record_id, content_hash, reason) in enumerate(
        zip(ids, hashes, rows["quarantine_reason"].to_pylist(), strict=True)
    ):
        if reason is None:
            places.setdefault((record_id, content_hash), place)
    for version in _known(connection, table, [*places]):
        del places[version]
    return rows.take(pa.array([places[version] for version in sorted(places)], pa.int64()))


def _known(connection: psycopg.Connection, table: str, versions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the versions that are in the log."""
    if not versions:
        return []
    # As JSON, because psycopg escapes an array item by item, which takes longer than all that PostgreSQL does here.
    statement = sql.SQL(
        "select place from rows from (json_array_elements_text(%s::json), json_array_elements_text(%s::json))"
        " with ordinality as asked (record_id, content_hash, place)"
        " where exists (select from raw.{} as known"
        " where known.record_id = asked.record_id and known.content_hash = asked.content_hash)"
    ).format(sql.Identifier(table))
    keys = [msgspec.json.encode(list(column)).decode() for column in zip(*versions, strict=True)]
    return [versions[place - 1] for (place,) in connection.execute(statement, keys)]


def _insert(connection: psycopg.Connection, table: str, rows: pa.Table, load_id: str) -> int:
    if not rows.num_rows:
        return 0
    columns = [*LOG_COLUMNS, "_dlt_load_id"]
    rows = rows.select(LOG_COLUMNS).append_column("_dlt_load_id", pa.repeat(load_id, rows.num_rows))
    target = sql.Identifier("raw", table)
    try:
        with connection.transaction():
            _copy(connection, target, columns, rows)
        return int(rows.num_rows)
    except psycopg.errors.UniqueViolation:
        # Another load has committed some of them in the meantime.
        staged = sql.Identifier("incoming")
        connection.execute(
            sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
                staged, _names(columns), target
            )
        )
        _copy(connection, staged, columns, rows)
        return connection.execute(
            sql.SQL(
                "insert into {target} ({columns}) select {columns} from {staged} order by record_id, content_hash"
                " on conflict (record_id, content_hash) do nothing"
            ).format(target=target, columns=_names(columns), staged=staged)
        ).rowcount


def _copy(connection: psycopg.Connection, target: sql.Identifier, columns: list[str], rows: pa.Table) -> None:
    """In PostgreSQL's binary form: nothing is quoted on this side or unquoted on the other."""
    encoders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in rows.schema}
    encoders["payload"] = StringEncoderBuilder.new_with_output(rows.schema.field("payload"), Jsonb())
    encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(rows.schema, encoders)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(target, _names(columns))
    with connection.cursor().copy(statement) as copy:
        copy.write(encoder.write_header())
        for batch in rows.combine_chunks().to_batches(max_chunksize=BATCH_ROWS):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


def _quarantine(connection: psycopg.Connection, table: str, rows: pa.Table, load_id: str) -> int:
    if not rows.num_rows:
        return 0
    columns = [*QUARANTINE_COLUMNS, "reason", "detail", "source_table", "_dlt_load_id"]
    statement = sql.SQL(
        "insert into raw.quarantine ({}) values ({}) on conflict (source_table, content_hash) do nothing"
    ).format(
        _names(columns),
        sql.SQL(", ").join(sql.SQL("%s::jsonb") if name == "payload" else sql.SQL("%s") for name in columns),
    )
    read = rows.select([*QUARANTINE_COLUMNS, "quarantine_reason", "quarantine_detail"]).sort_by("content_hash")
    with connection.cursor() as cursor:
        cursor.executemany(statement, [(*row.values(), table, load_id) for row in read.to_pylist()])
        return cursor.rowcount


def _move_cursor(
    connection: psycopg.Connection, source: str, table: str, placed: pa.Table, load_id: str, now: datetime
) -> None:
    read = placed.filter(compute.equal(placed["load_mode"], "feed"))
    if not read.num_rows:
        return
    connection.execute(
        """
        insert into raw.source_cursors as known (source, stream, cursor_value, moved_at, _dlt_load_id)
        values (%s, %s, %s, %s, %s)
        on conflict (source, stream) do update
        set cursor_value = excluded.cursor_value, moved_at = excluded.moved_at, _dlt_load_id = excluded._dlt_load_id
        where excluded.cursor_value::numeric > known.cursor_value::numeric
        """,
        (source, table, str(compute.max(read["load_position"]).as_py()), now, load_id),
    )


def _move_windows(
    connection: psycopg.Connection, source: str, table: str, placed: pa.Table, load_id: str, now: datetime
) -> None:
    read = placed.filter(compute.equal(placed["load_mode"], "window"))
    for scope in sorted(compute.unique(read["load_scope"]).to_pylist()):
        window = read.filter(compute.equal(read["load_scope"], scope))
        connection.execute(
            """
            insert into raw.window_progress as known
                (source, stream, window_date, position, started_at, moved_at, _dlt_load_id)
            values (%s, %s, %s, %s, %s, %s, %s)
            on conflict (source, stream, window_date) do update
            set
                position = greatest(known.position::numeric, excluded.position::numeric)::text,
                started_at = case when known.position is null then excluded.started_at else known.started_at end,
                moved_at = excluded.moved_at,
                _dlt_load_id = excluded._dlt_load_id
            """,
            (
                source,
                table,
                scope,
                str(compute.max(window["load_position"]).as_py()),
                compute.min(window["observed_at"]).as_py(),
                now,
                load_id,
            ),
        )


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
