"""The mirror holds what the marts hold, writes only what has changed, and is never seen half."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from pipelines.core.errors import ConflictError, DatabaseError
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from pipelines.mirror.refresh import mirror_folder, refresh_mirror
from tests.conftest import Loaded, copy_database, drop_database

FACT = "fct_transactions"


@pytest.fixture(scope="module")
def mirrored_once(loaded: Loaded, server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse of this module, with a mirror: making the first one costs more than all that the tests do to it."""
    url = copy_database(server_url, loaded.template)
    home = tmp_path_factory.mktemp("mirror")
    yield loaded.providers.settings(PSP_DATABASE_URL=url, PSP_HOME=str(home))
    drop_database(url)


@pytest.fixture
def mirrored(mirrored_once: Settings) -> Settings:
    """Settings whose mirror holds what the warehouse holds now."""
    refresh_mirror(mirrored_once)
    return mirrored_once


@pytest.fixture
def database(mirrored_once: Settings) -> Iterator[psycopg.Connection]:
    """The warehouse that is mirrored."""
    assert mirrored_once.psp_database_url is not None
    with connect(mirrored_once.psp_database_url.get_secret_value(), autocommit=True) as connection:
        yield connection


def asked(settings: Settings, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(mirror_folder(settings) / "marts.duckdb"), read_only=True) as mirror:
        return mirror.sql(question).fetchall()


def marts(database: psycopg.Connection) -> list[str]:
    rows = database.execute(
        "select relname from pg_class where relnamespace = 'marts'::regnamespace and relkind in ('r', 'v') order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def test_every_mart_is_there_to_the_last_digit(mirrored: Settings, database: psycopg.Connection) -> None:
    names = marts(database)
    assert FACT in names
    for name in names:
        expected = database.execute(sql.SQL("select * from marts.{}").format(sql.Identifier(name))).fetchall()
        found = asked(mirrored, f'from "{name}"')
        assert sorted(map(str, map(as_mirrored, expected))) == sorted(map(str, map(as_mirrored, found))), name
    days = {row[0].isoformat() for row in database.execute("select distinct business_date from marts.fct_transactions")}
    folders = {path.name.partition("=")[2] for path in (mirror_folder(mirrored) / FACT).iterdir()}
    assert folders == days
    ((as_of,),) = asked(mirrored, "select as_of from mirror")
    assert as_of == database.execute("select min(watermark) from marts.rpt_source_health").fetchone()[0]  # type: ignore[index]


def as_mirrored(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values as both engines can be compared: numbers by value, instants by instant, documents by content."""

    def value(item: Any) -> Any:
        if isinstance(item, dict):
            return json.dumps(item, sort_keys=True)
        if hasattr(item, "normalize"):
            return format(item.normalize(), "f") if item else "0"
        if hasattr(item, "timestamp"):
            return item.timestamp()
        return item

    return tuple(value(item) for item in row)


def test_nothing_is_written_when_nothing_has_changed(mirrored: Settings) -> None:
    before = refresh_mirror(mirrored).generation
    report = refresh_mirror(mirrored)

    assert (report.parts_written, report.rows_written, report.bytes_written) == (0, 0, 0)
    assert report.parts > 20
    assert report.generation == before + 1


CHANGES: dict[str, Callable[[str], str]] = {
    "updated": lambda day: (
        f"update marts.{FACT} set merchant = 'Another', changed_xid = pg_current_xact_id()::text::bigint"  # noqa: S608
        f" where transaction_id = (select min(transaction_id) from marts.{FACT} where business_date = '{day}')"
    ),
    "removed": lambda day: (
        f"delete from marts.{FACT}"  # noqa: S608
        f" where transaction_id = (select min(transaction_id) from marts.{FACT} where business_date = '{day}')"
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_only_the_day_that_changed_is_written(mirrored: Settings, database: psycopg.Connection, kind: str) -> None:
    row = database.execute(
        "select business_date::text, count(*) from marts.fct_transactions group by 1 order by 2"
    ).fetchone()
    assert row is not None
    database.execute(CHANGES[kind](row[0]).encode())

    report = refresh_mirror(mirrored)

    assert report.parts_written == 1
    assert report.rows_written == row[1] - (kind == "removed")
    question = "select count(*), count(*) filter (where merchant = 'Another') from fct_transactions"
    assert asked(mirrored, question) == database.execute(question.replace(FACT, f"marts.{FACT}").encode()).fetchall()


def test_a_row_that_moves_leaves_one_day_and_comes_into_the_other(
    mirrored: Settings, database: psycopg.Connection
) -> None:
    database.execute(
        "update marts.fct_transactions set business_date = (select max(business_date) from marts.fct_transactions),"
        " changed_xid = pg_current_xact_id()::text::bigint where transaction_id ="
        " (select transaction_id from marts.fct_transactions order by business_date, transaction_id limit 1)"
    )
    refresh_mirror(mirrored)

    question = "select business_date, count(*) from fct_transactions group by 1 order by 1"
    assert asked(mirrored, question) == database.execute(question.replace(FACT, f"marts.{FACT}").encode()).fetchall()


def test_a_report_is_written_where_it_differs(mirrored: Settings, database: psycopg.Connection) -> None:
    row = database.execute("select min(business_date)::text from marts.rpt_reconciliation_daily").fetchone()
    assert row is not None
    database.execute(
        "update marts.rpt_reconciliation_daily set matched_amount = matched_amount + 1 where business_date = %s", row
    )

    assert refresh_mirror(mirrored).parts_written == 1
    question = "select sum(matched_amount) from rpt_reconciliation_daily"
    assert asked(mirrored, question) == database.execute(question.replace("rpt", "marts.rpt").encode()).fetchall()


def test_a_reader_keeps_what_it_opened(mirrored: Settings, database: psycopg.Connection) -> None:
    path = mirror_folder(mirrored) / "marts.duckdb"
    with duckdb.connect(str(path), read_only=True) as reader:
        before = reader.sql("select count(*) from fct_transactions").fetchall()
        database.execute(
            "delete from marts.fct_transactions"
            " where business_date = (select max(business_date) from marts.fct_transactions)"
        )
        refresh_mirror(mirrored)

        assert reader.sql("select count(*) from fct_transactions").fetchall() == before
    assert asked(mirrored, "select count(*) from fct_transactions") != before
    # Two generations on, what nobody names any more is gone.
    refresh_mirror(mirrored)
    named = json.loads((mirror_folder(mirrored) / "manifest.json").read_text())
    kept = {part["path"] for parts in named["parts"].values() for part in parts.values()}
    assert {
        str(file.relative_to(mirror_folder(mirrored))) for file in mirror_folder(mirrored).rglob("*.parquet")
    } == kept


def test_a_lost_file_and_a_new_column_are_made_good(mirrored: Settings, database: psycopg.Connection) -> None:
    next((mirror_folder(mirrored) / FACT).rglob("*.parquet")).unlink()
    assert refresh_mirror(mirrored).parts_written == 1

    database.execute("alter table marts.rpt_source_health add column note text default 'new'")
    assert refresh_mirror(mirrored).parts_written == 1
    assert asked(mirrored, "select distinct note from rpt_source_health") == [("new",)]


def test_two_refreshes_do_not_meet(mirrored: Settings) -> None:
    import fcntl

    with (mirror_folder(mirrored) / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConflictError):
            refresh_mirror(mirrored)


def test_without_marts_it_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(DatabaseError, match="not there yet"):
        refresh_mirror(settings)
