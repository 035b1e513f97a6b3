"""Appending to the raw log: rows, quarantine and cursor in one transaction; nothing twice, nothing half."""

import json
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pipelines.core.errors import DatabaseError, LoadError
from pipelines.core.postgres import LOADER, connect
from pipelines.core.settings import Settings
from pipelines.loading.raw_log import Appended, append
from pipelines.loading.runs import open_load
from pipelines.loading.sink import LEAST_PAGES, MOST_PAGES
from pipelines.loading.watermarks import (
    completed_days,
    confirm_watermark,
    days_read_since,
    move_watermark,
    record_window_pass,
    resume_window,
)
from pipelines.sources.common.records import Provenance, build_page
from pipelines.sources.vima.schema import OPERATIONS
from pipelines.sources.vima.source import vima_resource
from tests.integration.loading.conftest import NOW, START, operation, value, versions


def page(numbers: Sequence[int], *, mode: str = "feed", scope: str = "x", **fields: Any) -> Any:
    """A page of operations whose position is their number."""
    provenance = Provenance(observed_at=NOW, load_mode=mode, load_scope=scope, load_page=1)
    records = [json.dumps(operation(number, **fields)).encode() for number in numbers]
    return build_page(records, spec=OPERATIONS, provenance=provenance, positions=list(numbers))


def add(url: str, table: Any, *, into: str = "vima_operations", now: datetime = NOW) -> Appended:
    with connect(url, role=LOADER) as connection:
        return append(connection, table.to_batches(), source="vima", table=into, load_id="L1", now=now)


def cursor(db: psycopg.Connection) -> int | None:
    found = value(db, "select cursor_value from raw.source_cursors")
    return None if found is None else int(found)


def test_the_same_page_twice_adds_nothing(warehouse: str, db: psycopg.Connection) -> None:
    assert add(warehouse, page(range(10))) == Appended(new=10, quarantined=0)
    assert add(warehouse, page(range(10))) == Appended(new=0, quarantined=0)
    assert add(warehouse, page(range(5, 15))) == Appended(new=5, quarantined=0)
    assert versions(db) == 15


def test_a_row_that_comes_twice_in_a_page_is_one(warehouse: str, db: psycopg.Connection) -> None:
    assert add(warehouse, page([1, 1, 1])).new == 1
    assert versions(db) == 1


def test_what_is_there_is_never_changed(warehouse: str, db: psycopg.Connection) -> None:
    add(warehouse, page([1]))
    before = db.execute("select * from raw.vima_operations").fetchall()
    add(warehouse, page([1], mode="window", scope="2026-01-14"))
    add(warehouse, page([1], current_status="success"))
    after = db.execute("select * from raw.vima_operations order by loaded_xid").fetchall()
    assert after[: len(before)] == before
    assert len(after) == 2


def test_the_loader_may_add_and_nothing_else(warehouse: str) -> None:
    add(warehouse, page([1]))
    for statement in (
        "update raw.vima_operations set order_key = 'x'",
        "delete from raw.vima_operations",
        "truncate raw.vima_operations",
        "delete from raw.quarantine",
        "delete from raw.load_runs",
        "select * from marts.nothing",
    ):
        with connect(warehouse, role=LOADER) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_the_cursor_moves_with_its_rows_and_never_back(warehouse: str, db: psycopg.Connection) -> None:
    add(warehouse, page([9, 10]))
    assert cursor(db) == 10
    add(warehouse, page([3]))
    assert cursor(db) == 10
    add(warehouse, page([100]))
    assert cursor(db) == 100  # as a number: as text it would be less than 9


def test_only_the_feed_moves_the_cursor(warehouse: str, db: psycopg.Connection) -> None:
    add(warehouse, page([5], mode="window", scope="2026-01-14"))
    add(warehouse, page([6], mode="replay"))
    add(warehouse, page([7], mode="recheck"))
    assert cursor(db) is None
    assert value(db, "select position from raw.window_progress") == "5"


def test_quarantined_rows_move_the_cursor_and_come_once(warehouse: str, db: psycopg.Connection) -> None:
    broken = page([4, 5], complete_amount="much")
    assert add(warehouse, broken) == Appended(new=0, quarantined=2)
    assert add(warehouse, broken) == Appended(new=0, quarantined=0)
    assert cursor(db) == 5
    assert versions(db) == 0


def test_the_same_bad_record_of_two_tables_is_in_quarantine_twice(warehouse: str, db: psycopg.Connection) -> None:
    for into in ("payshack_payins", "payshack_payouts"):
        assert add(warehouse, page([4], mode="window", scope="2026-01-14", complete_amount="much"), into=into)
    assert value(db, "select count(*) from raw.quarantine") == 2


@pytest.mark.parametrize(
    "text",
    ["a\nb", "\\.", "a\n\\.\nb", 'say "x", y', "\r\n", "\t", "é 😀", "'", "\\N", "", "null", "\\"],
)
def test_keys_and_payloads_of_any_text_arrive_as_they_are(warehouse: str, db: psycopg.Connection, text: str) -> None:
    add(warehouse, page([1], client_operation_id=f"k{text}k", contact=text))
    key, contact = db.execute("select order_key, payload ->> 'contact' from raw.vima_operations").fetchone()  # type: ignore[misc]
    assert (key, contact) == (f"k{text}k", text)


def test_numbers_keep_every_digit(warehouse: str, db: psycopg.Connection) -> None:
    exact = (
        b'{"operation_id":"1","operation_update_id":"7","a":100.50000000,"b":1e2,"c":0.12345678901234567890123456789}'
    )
    provenance = Provenance(observed_at=NOW, load_mode="feed", load_scope="x", load_page=1)
    add(warehouse, build_page([exact], spec=OPERATIONS, provenance=provenance))
    row = db.execute("select payload ->> 'a', payload ->> 'b', payload ->> 'c' from raw.vima_operations").fetchone()
    assert row == ("100.50000000", "100", "0.12345678901234567890123456789")


def test_an_unknown_table_is_refused(warehouse: str) -> None:
    with pytest.raises(ValueError, match="no table of the raw log"):
        add(warehouse, page([1]), into="load_runs")


CUTS = {
    "the rows": ("raw.vima_operations", "insert"),
    "the quarantine": ("raw.quarantine", "insert"),
    "the cursor": ("raw.source_cursors", "insert or update"),
}


@pytest.mark.parametrize("how", ["fails", "loses its connection"])
@pytest.mark.parametrize("where", CUTS)
def test_a_transaction_cut_anywhere_leaves_nothing(
    warehouse: str, db: psycopg.Connection, settings: Settings, where: str, how: str
) -> None:
    add(warehouse, page(range(5)))
    table, events = CUTS[where]
    act = "raise exception 'cut, as told'" if how == "fails" else "perform pg_terminate_backend(pg_backend_pid())"
    db.execute(
        f"create function cut() returns trigger language plpgsql security definer as"
        f" $$ begin {act}; return null; end $$;"
        f"create trigger cut after {events} on {table} for each statement execute function cut()".encode()
    )
    rows = [page(range(5, 10)), page([10], complete_amount="much")]
    expected = LoadError if how == "fails" else DatabaseError
    with pytest.raises(expected) as caught, open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter(rows)))
    assert "much" not in str(caught.value)
    assert versions(db) == 5
    assert value(db, "select count(*) from raw.quarantine") == 0
    assert cursor(db) == 4
    db.execute(f"drop trigger cut on {table}".encode())
    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter(rows)))
    assert versions(db) == 10
    assert cursor(db) == 10


def test_the_session_that_holds_the_right_may_be_lost_without_harm(
    warehouse: str, db: psycopg.Connection, settings: Settings
) -> None:
    with (  # noqa: PT012 - the end of the load is what raises
        pytest.raises(DatabaseError, match="lost at the end of a load"),
        open_load(settings, source="vima", mode="feed", scope="x") as load,
    ):
        db.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'psp-load'")
        load.commit(vima_resource(lambda: iter([page(range(5))])))
    assert versions(db) == 5
    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter([page(range(5))])))
    assert [row[0] for row in db.execute("select status from raw.load_runs order by 1")] == ["failed", "succeeded"]
    assert versions(db) == 5


def test_loads_that_meet_wait_for_each_other_and_double_nothing(warehouse: str, db: psycopg.Connection) -> None:
    errors = []

    def load(order: Sequence[int]) -> None:
        try:
            for _ in range(5):
                add(warehouse, page(order))
        except Exception as error:
            errors.append(error)

    numbers = list(range(400))
    threads = [
        threading.Thread(target=load, args=(order,)) for order in (numbers, numbers[::-1], numbers[200:] + numbers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert versions(db) == 400


def test_a_version_that_another_load_commits_in_between_stays_as_it_is(warehouse: str, db: psycopg.Connection) -> None:
    added: list[Appended] = []
    late = threading.Thread(
        target=lambda: added.append(add(warehouse, page(range(5, 20), mode="window", scope="2026-01-14")))
    )
    with connect(warehouse, role=LOADER) as early:
        append(early, page(range(10)).to_batches(), source="vima", table="vima_operations", load_id="L0", now=NOW)
        late.start()
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        for _ in range(500):
            if value(db, waiting):
                break
            time.sleep(0.02)
        assert value(db, waiting) == 1
    late.join()
    assert added == [Appended(new=10, quarantined=0)]
    assert value(db, "select count(*) from raw.vima_operations where load_mode = 'feed'") == 10
    assert versions(db) == 20
    assert value(db, "select position from raw.window_progress") == "19"


def test_a_chunk_of_whole_pages_is_one_transaction_and_no_longer_than_memory_is_meant_to_hold(
    warehouse: str, db: psycopg.Connection, settings: Settings
) -> None:
    pages = [page(range(begin, begin + 100)) for begin in range(0, 12_000, 100)]
    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter(pages)))
    sizes = [size for (size,) in db.execute("select count(*) from raw.vima_operations group by loaded_xid")]
    assert sum(sizes) == versions(db) == 12_000
    assert all(size % 100 == 0 and size <= 100 * MOST_PAGES for size in sizes)
    assert len(sizes) <= 1 + len(pages) // LEAST_PAGES


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow: what a full disk looks like to a process, without filling one.

    A block and no fixture: it holds for the whole process, and the test runner writes its own report to a file too.
    """
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_of_the_loader_stops_no_load(settings: Settings, db: psycopg.Connection) -> None:
    with full_disk(), open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter([page(range(2000))])))
    assert versions(db) == 2000
    assert value(db, "select status from raw.load_runs") == "succeeded"


def test_a_watermark_never_moves_back(warehouse: str, db: psycopg.Connection) -> None:
    later = NOW + timedelta(hours=1)
    confirm_watermark(warehouse, "vima", "payin", later, later)
    assert value(db, "select count(*) from raw.source_watermarks") == 0  # what was never read gets none by a look
    assert move_watermark(warehouse, "vima", "payin", NOW, NOW) == NOW
    assert move_watermark(warehouse, "vima", "payin", NOW - timedelta(days=1), NOW) == NOW
    confirm_watermark(warehouse, "vima", "payin", later, later)
    confirm_watermark(warehouse, "vima", "payin", NOW, later)
    assert value(db, "select watermark from raw.source_watermarks") == later
    with pytest.raises(ValueError, match="complete pass"):
        move_watermark(warehouse, "vima", "payin", None, NOW)


def test_a_day_counts_as_read_only_when_it_was_over_and_by_its_newest_reading(
    warehouse: str, db: psycopg.Connection
) -> None:
    day = START.date()

    def passed(started_at: datetime, total: int) -> None:
        record_window_pass(
            warehouse, "vima", "s", day, total=total, distinct=total, started_at=started_at, ended_at=started_at
        )

    during, after = START + timedelta(hours=23, minutes=59), START + timedelta(days=1)
    passed(during, 1)
    assert completed_days(warehouse, "s") == {}
    passed(after, 2)
    assert completed_days(warehouse, "s") == {day: after}
    passed(during, 1)  # a slow reading that began earlier ends later
    assert completed_days(warehouse, "s") == {day: after}
    assert value(db, "select total_records from raw.window_passes") == 2
    assert days_read_since(warehouse, "s", after) == {day}
    assert days_read_since(warehouse, "s", after + timedelta(seconds=1)) == set()


def test_an_interruption_is_resumed_for_some_hours_only(warehouse: str) -> None:
    day = START.date()
    assert resume_window(warehouse, "vima", "vima_operations", day, NOW) is None
    add(warehouse, page([5, 6], mode="window", scope=day.isoformat()))
    add(warehouse, page([7], mode="window", scope=day.isoformat()), now=NOW + timedelta(hours=1))
    resumed = resume_window(warehouse, "vima", "vima_operations", day, NOW + timedelta(hours=5))
    assert resumed is not None
    assert (resumed.position, resumed.started_at) == (7, NOW)
    assert resume_window(warehouse, "vima", "vima_operations", day, NOW + timedelta(hours=7)) is None
    # And from then on it is a reading from the start, also when that one breaks off at once.
    assert resume_window(warehouse, "vima", "vima_operations", day, NOW + timedelta(hours=1)) is None
    assert datetime.now(UTC) > NOW
