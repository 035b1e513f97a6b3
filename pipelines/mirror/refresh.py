"""Bringing the mirror up to the marts: one snapshot, only what has changed, visible all at once.

    PSP_HOME/mirror/manifest.json                                          which files make up the mirror, and why
    PSP_HOME/mirror/<mart>/business_date=<day>/<generation>.parquet        one file per mart and day
    PSP_HOME/mirror/<mart>/<generation>.parquet                            a mart without business date
    PSP_HOME/mirror/marts.duckdb                                           a view per mart over exactly those files

New files have names of their own. The database that names them is put in the place of the old one in one step, so
whoever opens it sees the marts of one instant; files that only the last generation named stay for one more refresh, for
readers that opened it before.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql

from pipelines.core.errors import ConflictError, DatabaseError
from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url, read_json, write_private_json
from pipelines.core.settings import Settings
from pipelines.mirror.parquet import Field, ParquetWriter, copied_lines, fields_of, select_list
from pipelines.mirror.partitions import UNDATED, WHOLE, Mart, changed_parts, horizon, marts, stamps

VERSION = 1
"""Of the files' form: another one writes everything again."""


@dataclass(slots=True)
class Part:
    """One file: its path under the mirror's folder, and what told that it holds the mart's rows."""

    path: str
    stamp: str
    rows: int


@dataclass(slots=True, kw_only=True)
class Report:
    """What a refresh did. `as_of`: up to when the marts were complete, ISO 8601, null before the first pass."""

    generation: int
    marts: int
    parts: int
    parts_written: int
    rows: int
    rows_written: int
    bytes_written: int
    as_of: str | None
    seconds: float
    database: str


@dataclass(slots=True)
class Manifest:
    """What the mirror holds. `columns` of a mart are those of its files, so that another shape writes them anew."""

    version: int = VERSION
    generation: int = 0
    horizon: int | None = None
    system: str = ""
    parts: dict[str, dict[str, Part]] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)


def mirror_folder(settings: Settings) -> Path:
    """Where the mirror lies."""
    return settings.psp_home / "mirror"


def refresh_mirror(settings: Settings, *, full: bool = False) -> Report:
    """Bring the mirror up to date; `full` writes every part again.

    Raises ConflictError while another refresh runs, DatabaseError when the database is away or has no marts yet.
    """
    began = time.monotonic()
    folder = mirror_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_refresh(folder), connect(database_url(settings), role=READER, application="psp-mirror") as connection:
        try:
            return _refreshed(connection, folder, began=began, full=full)
        except psycopg.errors.UndefinedTable as error:
            raise DatabaseError("The marts are not there yet.", fix="run `psp up` or `psp sync all` once") from error
        except psycopg.Error as error:
            raise DatabaseError("PostgreSQL went away during the refresh.", fix="run `psp mirror` again") from error


def _refreshed(connection: psycopg.Connection[Any], folder: Path, *, began: float, full: bool) -> Report:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    system = _system(connection)
    known = Manifest() if full else _read(folder)
    if known.system != system:
        known = Manifest(generation=known.generation, leftovers=known.leftovers)
    fresh = Manifest(generation=known.generation + 1, horizon=horizon(connection), system=system)
    as_of = _as_of(connection)
    written: list[Part] = []
    found = marts(connection)
    for mart in found:
        written += _mirrored(connection, folder, mart, known=known, fresh=fresh)
    if not found:
        raise DatabaseError("The marts are not there yet.", fix="run `psp up` or `psp sync all` once")
    # What the generation before named and this one does not is left for its readers, and goes with the next refresh.
    kept = {part.path for parts in fresh.parts.values() for part in parts.values()}
    fresh.leftovers = sorted({p.path for parts in known.parts.values() for p in parts.values()} - kept)
    database = _database(folder, fresh, as_of)
    write_private_json(folder / "manifest.json", asdict(fresh))
    _sweep(folder, kept | set(fresh.leftovers))
    everything = [part for parts in fresh.parts.values() for part in parts.values()]
    return Report(
        generation=fresh.generation,
        marts=len(found),
        parts=len(everything),
        parts_written=len(written),
        rows=sum(part.rows for part in everything),
        rows_written=sum(part.rows for part in written),
        bytes_written=sum((folder / part.path).stat().st_size for part in written),
        as_of=as_of,
        seconds=round(time.monotonic() - began, 3),
        database=str(database),
    )


def _mirrored(
    connection: psycopg.Connection[Any], folder: Path, mart: Mart, *, known: Manifest, fresh: Manifest
) -> list[Part]:
    """Write the changed parts of a mart, note all of them in `fresh`, and return those that were written."""
    fields = fields_of(connection, mart.relation)
    fresh.columns[mart.name] = [f"{item.name} {item.type}" for item in fields]
    same_shape = known.columns.get(mart.name) == fresh.columns[mart.name]
    before = known.parts.get(mart.name, {}) if same_shape else {}
    now = stamps(connection, mart)
    if not now:
        now[UNDATED if mart.is_dated else WHOLE] = "0"  # without rows there is still a file, which has the columns
    since = known.horizon if same_shape else None
    changed = changed_parts(
        connection, mart, now=now, known={part: it.stamp for part, it in before.items()}, since=since
    )
    written = []
    fresh.parts[mart.name] = {}
    for part in sorted(now):
        if part not in changed:
            fresh.parts[mart.name][part] = before[part]
            continue
        made = _write(connection, folder, mart, fields, part, generation=fresh.generation, stamp=now[part])
        fresh.parts[mart.name][part] = made
        written.append(made)
    return written


def _write(
    connection: psycopg.Connection[Any],
    folder: Path,
    mart: Mart,
    fields: list[Field],
    part: str,
    *,
    generation: int,
    stamp: str,
) -> Part:
    place = folder / mart.name / (f"business_date={part}" if mart.is_dated else "")
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{generation}.parquet"
    where: sql.Composable = sql.SQL("true")
    if mart.is_dated:
        undated = part == UNDATED
        where = sql.SQL("business_date is null" if undated else "business_date = {}").format(sql.Literal(part))
    query = sql.SQL("select {} from {} where {}").format(select_list(fields), mart.relation, where)
    rows = 0
    with path.open("wb") as file:
        writer = ParquetWriter(file, fields)
        for line in copied_lines(connection, query, {}):
            writer.add(line)
            rows += 1
        writer.close({"mart": mart.name, "part": part, "generation": str(generation)})
    return Part(path=str(path.relative_to(folder)), stamp=stamp, rows=rows)


def _database(folder: Path, fresh: Manifest, as_of: str | None) -> Path:
    """The DuckDB database over exactly the files of this generation, put in the place of the last one."""
    unfinished = folder / f".marts-{fresh.generation}.duckdb"
    unfinished.unlink(missing_ok=True)
    with duckdb.connect(str(unfinished)) as database:
        for name, parts in fresh.parts.items():
            files = ", ".join(_quoted(str((folder / part.path).resolve())) for part in parts.values())
            # The date is a column of the files, so the folders need not tell it.
            view = f'create view "{name}" as select * from read_parquet([{files}], hive_partitioning = false)'  # noqa: S608
            database.execute(view)  # names of the marts and of files that were written here
        database.execute("create table mirror (generation bigint, as_of timestamptz)")
        database.execute("insert into mirror values (?, ?)", [fresh.generation, as_of])
    final = folder / "marts.duckdb"
    unfinished.replace(final)
    return final


def _sweep(folder: Path, kept: set[str]) -> None:
    """Remove files that neither this generation nor the one before names, and what a broken-off refresh has left."""
    for path in folder.rglob("*.parquet"):
        if str(path.relative_to(folder)) not in kept:
            path.unlink()
    for place in sorted(folder.rglob("business_date=*"), reverse=True):
        if not any(place.iterdir()):
            shutil.rmtree(place)


def _read(folder: Path) -> Manifest:
    found = read_json(folder / "manifest.json")
    if found is None or found.get("version") != VERSION:
        return Manifest()
    parts = {
        mart: {part: Part(**told) for part, told in told_parts.items() if (folder / told["path"]).exists()}
        for mart, told_parts in found["parts"].items()
    }
    return Manifest(**(found | {"parts": parts}))


def _system(connection: psycopg.Connection[Any]) -> str:
    """Which database it is: transactions of another one are counted otherwise."""
    row = connection.execute(
        "select system_identifier || '/' || (select oid from pg_database where datname = current_database())"
        " from pg_control_system()"
    ).fetchone()
    return str(row[0]) if row else ""


def _as_of(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute(
        "select case when count(*) = count(watermark) then min(watermark) end from marts.rpt_source_health"
    ).fetchone()
    return row[0].isoformat() if row and row[0] else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _only_refresh(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError("The mirror is being refreshed already.", fix="wait until that has ended") from None
        yield
