"""A signed day built again from the raw log as it was known: the proof that nothing but the log is behind a report.

    raw rows and events of breaks visible in the close's snapshot,
    its watermarks, its open quarantine                                            -> a database of its own
    the close's rule book, as it lies in the archive                               -> dbt, "now" being as_known_at
    -> the report of that database; equal, byte for byte, or the close does not hold

The warehouse is only read. The database is made beside it, on the same server, and dropped at the end.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from pipelines.closing.ledger import Close
from pipelines.closing.report import Basis, read_report
from pipelines.closing.rule_book import unpack
from pipelines.core.errors import ClosingError, ConflictError, DatabaseError
from pipelines.core.postgres import TRANSFORMER, advisory_key, connect, prepare_warehouse

PREFIX = "psp_as_known_"
LOGS = (
    "vima_operations",
    "payshack_payins",
    "payshack_payouts",
    "payshack_clients",
    "payshack_resellers",
    "payshack_service_providers",
    "quarantine",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """What the models are to be built on: a database with the raw log as known, a project, an instant, a zone."""

    url: str
    project: Path
    now: datetime
    business_timezone: str


Build = Callable[[Scratch], None]
"""Builds every mart of the report, from nothing. Raises ModelError."""


def rebuilt_texts(url: str, close: Close, build: Build) -> list[str]:
    """The lines of the close's report, built again. Raises ClosingError, ConflictError, DatabaseError, ModelError."""
    with _scratch_database(url) as scratch_url, tempfile.TemporaryDirectory(prefix="psp-rule-book-") as folder:
        _copy_as_known(url, scratch_url, close)
        unpack(_rule_book(url, close), Path(folder))
        build(
            Scratch(
                url=scratch_url,
                project=Path(folder),
                now=close.as_known_at,
                business_timezone=close.business_timezone,
            )
        )
        basis = Basis(
            business_date=close.business_date,
            business_timezone=close.business_timezone,
            as_known_at=close.as_known_at,
            rule_version=close.rule_version,
            watermarks=close.watermarks,
        )
        with connect(scratch_url, role=TRANSFORMER, application="psp-close") as connection:
            return [line.text for line in read_report(connection, basis)]


@contextmanager
def _scratch_database(url: str) -> Iterator[str]:
    """An empty, prepared database; one at a time, so that what a killed process has left can be told and dropped."""
    name = f"{PREFIX}{secrets.token_hex(4)}"
    with connect(url, autocommit=True, application="psp-close") as connection:
        held = connection.execute("select pg_try_advisory_lock(%s)", (advisory_key("rebuild_closes"),)).fetchone()
        if not held or not held[0]:
            raise ConflictError("Another day is being built again.", fix="wait until that has ended")
        left = connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", (PREFIX,)
        ).fetchall()
        for (old,) in left:
            _drop(connection, old)
        try:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            raise DatabaseError(
                "The database user may not create a database, which building a day again needs.",
                fix="grant it CREATEDB, or run this against a restored copy of the warehouse",
            ) from None
        try:
            scratch_url = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            prepare_warehouse(scratch_url)
            yield scratch_url
        finally:
            _drop(connection, name)


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _rule_book(url: str, close: Close) -> bytes:
    with connect(url, role=TRANSFORMER, application="psp-close") as connection:
        row = connection.execute(
            "select archive from closing.rule_books where rule_version = %s", (close.rule_version,)
        ).fetchone()
    if row is None:
        raise ClosingError("The rule book of the close is gone.", fix="restore schema closing from a backup")
    return bytes(row[0])


def _copy_as_known(url: str, scratch_url: str, close: Close) -> None:
    """What the close knew, and nothing that was committed later."""
    with (
        connect(url, role=TRANSFORMER, application="psp-close") as source,
        connect(scratch_url, application="psp-close") as target,
    ):
        source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        source.read_only = True
        for table in LOGS:
            _copy(source, target, f"raw.{table}", close, written="loaded_xid", at="observed_at")
        # What people had decided: reports say it, and no model could find it out again.
        _copy(source, target, "breaks.events", close, written="written_xid", at="at")
        target.execute("insert into breaks.state select * from breaks.folded")
        target.execute("insert into breaks.clock (evaluated_at) values (%s)", (close.as_known_at,))
        target.execute(
            "update raw.quarantine set replayed_at = case when quarantine_id = any(%s) then null else observed_at end",
            (close.open_quarantine,),
        )
        for key, watermark in close.watermarks.items():
            name, flow = key.split(" ")
            target.execute(
                "insert into raw.source_watermarks (source, flow, watermark, updated_at) values (%s, %s, %s, %s)",
                (name, flow, watermark, close.as_known_at),
            )


# A restored database counts its transactions anew, so rows that came after a restore could pass for visible: the second
# condition tells them, with a day for clocks that differ.
_KNOWN = """
pg_visible_in_snapshot({written}::text::xid8, {snapshot}::pg_snapshot)
and {at} <= {instant}::timestamptz + interval '1 day'
"""


def _copy(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], table: str, close: Close, *, written: str, at: str
) -> None:
    relation = sql.Identifier(*table.split("."))
    columns = [
        row[0]
        for row in target.execute(
            "select attname::text from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            (table,),
        )
    ]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    known = sql.SQL(_KNOWN).format(
        written=sql.Identifier(written),
        at=sql.Identifier(at),
        snapshot=sql.Literal(close.known_snapshot),
        instant=sql.Literal(close.as_known_at.isoformat()),
    )
    read = sql.SQL("copy (select {} from {} where {}) to stdout (format binary)").format(names, relation, known)
    write = sql.SQL("copy {} ({}) from stdin (format binary)").format(relation, names)
    with source.cursor().copy(read) as out, target.cursor().copy(write) as into:
        for block in out:
            into.write(block)
