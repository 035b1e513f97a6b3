"""Rows of PostgreSQL as Parquet: COPY as CSV on one side, row groups on the other, in constant memory.

    COPY (select <expressions>) TO STDOUT csv -> whole lines -> Arrow table -> one row group

A `numeric` becomes DECIMAL(38, 12), the same in every file, so that files of different days fit together; a number with
more decimals is refused rather than rounded. Instants are UTC, arrays of text are lists, any other type is its text.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql
from pyarrow import csv

from pipelines.core.errors import DatabaseError

DECIMALS = 12
ROW_GROUP_BYTES = 16 * 1024 * 1024
"""Of CSV; a fifth of it as Parquet, and a few times as much while it is being made."""
SEPARATOR = "\x1f"
LIST_OF_TEXT = pa.list_(pa.string())

TYPES: Mapping[str, pa.DataType] = {
    "numeric": pa.decimal128(38, DECIMALS),
    "int2": pa.int64(),
    "int4": pa.int64(),
    "int8": pa.int64(),
    "float4": pa.float64(),
    "float8": pa.float64(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bool": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name, its type in Arrow, and how it is selected."""

    name: str
    type: pa.DataType
    expression: sql.Composed


def fields_of(
    connection: psycopg.Connection[Any], relation: sql.Composable, names: Sequence[str] | None = None
) -> list[Field]:
    """The columns of a relation by the types that it really has; all of them, or those that are named."""
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in names) if names else sql.SQL("*")
    described = connection.execute(sql.SQL("select {} from {} limit 0").format(columns, relation)).description or []
    found = []
    for column in described:
        of_type = connection.adapters.types.get(column.type_code)
        is_array = of_type is not None and column.type_code == of_type.array_oid
        name = of_type.name if of_type is not None else "unknown"
        found.append(_field(column.name, name, is_array=is_array))
    return found


def select_list(fields: Iterable[Field]) -> sql.Composed:
    """What stands between `select` and `from`."""
    return sql.SQL(", ").join(field.expression for field in fields)


def schema_of(fields: Iterable[Field]) -> pa.Schema:
    """The schema of the file."""
    return pa.schema([(field.name, field.type) for field in fields])


class Drain(io.RawIOBase):
    """A sink that is emptied while it is written: a file that is sent before it is whole."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Keep until taken."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How much has been written since the beginning."""
        return self._position

    def take(self) -> bytes:
        """What has been written since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken


class ParquetWriter:
    """CSV lines without a header -> row groups in `sink`. Raises DatabaseError for a number that is too long."""

    def __init__(self, sink: IO[bytes] | io.RawIOBase, fields: Sequence[Field]) -> None:
        self._fields = fields
        self._schema = schema_of(fields)
        # What arrives: a list comes as one text.
        self._read = csv.ReadOptions(column_names=[field.name for field in fields], use_threads=False)
        self._parse = csv.ParseOptions(newlines_in_values=True)
        self._convert = csv.ConvertOptions(
            column_types={f.name: pa.string() if f.type == LIST_OF_TEXT else f.type for f in fields},
            # An empty cell is null, a quoted empty one is an empty text: so COPY writes them.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true"],
            false_values=["false"],
        )
        self._writer = pq.ParquetWriter(sink, self._schema, compression="zstd")
        self._pending: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> bool:
        """One line, or several whole ones; True when a row group has been written."""
        self._pending.append(line)
        self._size += len(line)
        if self._size < ROW_GROUP_BYTES:
            return False
        self._flush()
        return True

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and `metadata` beside the schema."""
        self._flush()
        self._writer.add_key_value_metadata(dict(metadata))
        self._writer.close()

    def _flush(self) -> None:
        text, self._pending, self._size = b"".join(self._pending), [], 0
        if not text:
            return
        try:
            table = csv.read_csv(
                pa.BufferReader(text), read_options=self._read, parse_options=self._parse, convert_options=self._convert
            )
        except pa.ArrowInvalid as error:
            raise DatabaseError(
                f"A value does not fit into Parquet (a number with more than {DECIMALS} decimals?).",
                fix="export it as CSV, which takes any number",
            ) from error
        arrays = [
            _listed(table[field.name]) if field.type == LIST_OF_TEXT else table[field.name] for field in self._fields
        ]
        self._writer.write_table(pa.table(arrays, schema=self._schema))


def copied_lines(
    connection: psycopg.Connection[Any], query: sql.Composed, parameters: Mapping[str, object]
) -> Iterator[bytes]:
    """The rows of a query as CSV lines, as fast as they are taken."""
    statement = sql.SQL("copy ({}) to stdout (format csv, encoding 'UTF8')").format(query)
    with connection.cursor().copy(statement, parameters) as copy:
        for line in copy:
            yield bytes(line)


def _field(name: str, of_type: str, *, is_array: bool) -> Field:
    column = sql.Identifier(name)
    if is_array:
        joined = sql.SQL("array_to_string({}, {}) as {}").format(column, sql.Literal(SEPARATOR), column)
        return Field(name, LIST_OF_TEXT, joined)
    if of_type == "timestamptz":
        text = sql.SQL("replace(({} at time zone 'UTC')::text, ' ', 'T') || 'Z' as {}").format(column, column)
        return Field(name, TYPES[of_type], text)
    if of_type in TYPES and of_type != "bool":
        return Field(name, TYPES[of_type], sql.SQL("{}").format(column))
    return Field(name, TYPES.get(of_type, pa.string()), sql.SQL("{}::text as {}").format(column, column))


def _listed(texts: pa.ChunkedArray) -> pa.Array:
    """Joined texts as lists again; the empty text is the empty list."""
    text = texts.combine_chunks()
    parts = pc.split_pattern(text, SEPARATOR)
    empty = pa.array([[]] * len(text), LIST_OF_TEXT)
    return pc.if_else(pc.fill_null(pc.equal(text, ""), False), empty, parts)
