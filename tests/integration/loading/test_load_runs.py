"""Who may load, and what is left of a load that was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from pipelines.core.errors import ConflictError, LoadError, SourceUnavailable
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from pipelines.loading import runs, sink
from pipelines.loading.runs import open_load
from pipelines.sources.vima.source import vima_resource
from tests.integration.loading.conftest import value
from tests.integration.loading.test_raw_log import page

HOLD = """
import sys, time
from pipelines.core.settings import load_settings
from pipelines.loading.runs import open_load
home, url, scope = sys.argv[1:]
with open_load(load_settings({"PSP_HOME": home, "PSP_DATABASE_URL": url}), source="vima", mode="window", scope=scope):
    print("held", flush=True)
    time.sleep(600)
"""


def lines(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    return db.execute("select scope, status, error from raw.load_runs order by load_run_id").fetchall()


@pytest.fixture
def killed(settings: Settings, warehouse: str) -> "subprocess.Popen[str]":
    """A process that has held a right and was killed in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.psp_home), warehouse, "2026-01-14"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(ConflictError), open_load(settings, source="vima", mode="window", scope="2026-01-14"):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return process


def test_a_load_gives_its_right_back_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server notices late that a session was closed: here it never does."""
    with ExitStack() as sessions:
        unclosed = lambda *args, **options: nullcontext(sessions.enter_context(connect(*args, **options)))  # noqa: E731
        monkeypatch.setattr(runs, "connect", unclosed)
        for _ in range(2):
            with open_load(settings, source="vima", mode="window", scope="2026-01-14"):
                pass
        with pytest.raises(LoadError), open_load(settings, source="vima", mode="window", scope="2026-01-14"):
            raise LoadError("it failed", fix="none")
        with open_load(settings, source="vima", mode="window", scope="2026-01-14"):
            pass


def test_one_load_of_a_scope_at_a_time_and_others_beside_it(settings: Settings, db: psycopg.Connection) -> None:
    with open_load(settings, source="vima", mode="window", scope="2026-01-14"):
        with pytest.raises(ConflictError), open_load(settings, source="vima", mode="window", scope="2026-01-14"):
            pass
        with open_load(settings, source="vima", mode="window", scope="2026-01-15"):
            pass
        with open_load(settings, source="vima", mode="feed", scope="update cursor"):
            pass
        with open_load(settings, source="payshack", mode="window", scope="2026-01-14"):
            pass
    with open_load(settings, source="vima", mode="window", scope="2026-01-14"):
        pass
    assert {status for _, status, _ in lines(db)} == {"succeeded"}
    assert len(lines(db)) == 5  # who may not load leaves no line


def test_a_failed_load_says_why_without_secrets(settings: Settings, db: psycopg.Connection) -> None:
    with (
        pytest.raises(RuntimeError),
        open_load(settings, source="vima", mode="feed", scope="x"),
    ):
        raise RuntimeError("password=TELLTALE one@mail.example")
    (line,) = lines(db)
    assert line[1] == "failed"
    assert line[2] == "password=*** ***"


def test_a_killed_loads_line_is_closed_by_the_next_load_of_the_source(
    settings: Settings, db: psycopg.Connection, killed: "subprocess.Popen[str]"
) -> None:
    assert lines(db) == [("2026-01-14", "running", None)]
    with open_load(settings, source="vima", mode="feed", scope="update cursor"):
        pass
    assert lines(db)[0] == ("2026-01-14", "failed", "the process ended without a word")
    assert value(db, "select finished_at is not null from raw.load_runs order by load_run_id limit 1") is True


def test_a_living_loads_line_stays_open(settings: Settings, db: psycopg.Connection) -> None:
    with (
        open_load(settings, source="vima", mode="window", scope="2026-01-14"),
        open_load(settings, source="vima", mode="feed", scope="update cursor"),
    ):
        assert [status for _, status, _ in lines(db)] == ["running", "running"]


def test_no_payload_of_a_load_is_ever_on_the_disk(settings: Settings) -> None:
    before = sorted(settings.psp_home.rglob("*"))
    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter([page([1])])))
        assert sorted(settings.psp_home.rglob("*")) == before


def test_what_fails_behind_stops_the_reader_and_nothing_follows_it(settings: Settings, db: psycopg.Connection) -> None:
    db.execute("alter table raw.vima_operations add constraint other check (order_key <> 'ORDER00000007')")
    read = []

    def pages() -> Iterator[pa.Table]:
        for number in range(1, 1000):
            read.append(number)
            yield page([number])

    with (  # noqa: PT012 - the second commit is what raises
        pytest.raises(LoadError, match="PostgreSQL refused the rows"),
        open_load(settings, source="vima", mode="feed", scope="x") as load,
    ):
        load.commit(vima_resource(lambda: iter([page([1])])))
        load.commit(vima_resource(pages))
    assert len(read) < 999
    assert value(db, "select count(*) from raw.vima_operations") == 1
    assert value(db, "select cursor_value from raw.source_cursors") == "1"
    assert lines(db)[0][1] == "failed"


def test_what_was_read_before_the_reader_failed_is_committed(settings: Settings, db: psycopg.Connection) -> None:
    def pages() -> Iterator[pa.Table]:
        yield page(range(2000))
        raise SourceUnavailable("Vima does not answer.", fix="wait")

    with (
        pytest.raises(SourceUnavailable, match="Vima does not answer"),
        open_load(settings, source="vima", mode="feed", scope="x") as load,
    ):
        load.commit(vima_resource(pages))
    assert value(db, "select count(*) from raw.vima_operations") == 2000
    assert lines(db)[0][1] == "failed"


def test_pages_are_committed_while_others_are_read_and_those_of_a_slow_provider_soon(
    settings: Settings, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "LEAST_SECONDS", 0.0)

    def pages() -> Iterator[pa.Table]:
        yield page([1])
        yield page([2])
        for _ in range(1000):
            if value(db, "select count(*) from raw.vima_operations"):
                break
            time.sleep(0.01)
        assert value(db, "select count(*) from raw.vima_operations")
        yield page([3])

    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(pages))
    assert value(db, "select count(*) from raw.vima_operations") == 3


def test_nothing_of_a_load_phones_home(settings: Settings) -> None:
    from dlt.common.runtime import anon_tracker

    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter([page([1])])))
    assert os.environ["RUNTIME__DLTHUB_TELEMETRY"] == "false"
    assert anon_tracker._ANON_TRACKER_ENDPOINT is None


def test_a_small_commit_is_quick_once_warm(settings: Settings) -> None:
    with open_load(settings, source="vima", mode="feed", scope="x") as load:
        load.commit(vima_resource(lambda: iter([page([1])])))
        began = time.monotonic()
        load.commit(vima_resource(lambda: iter([page(range(2, 102))])))
        # 0.1 s on two idle cores; here others work too.
        assert time.monotonic() - began < 2
