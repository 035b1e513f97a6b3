"""The machine misbehaves: PostgreSQL restarts, the disk is full, loads meet each other; nothing is lost or doubled."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.core import embedded_postgres
from pipelines.core.errors import ConflictError, DatabaseError
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.runtime import database_url, payshack_access
from pipelines.core.settings import Settings, load_settings
from pipelines.loading.payshack import load_payshack_feed, load_payshack_windows
from pipelines.loading.report import LoadReport
from pipelines.loading.vima import load_vima_feed, load_vima_windows
from pipelines.sources.payshack.session import SessionStore
from tests import provider_history as truth
from tests.integration.faults.conftest import SOURCES, Lab
from tests.integration.loading.test_raw_log import full_disk
from tests.sandbox import STANDING_AT

FEEDS: dict[str, Callable[..., LoadReport]] = {"vima": load_vima_feed, "payshack": load_payshack_feed}
WINDOWS = {"vima": load_vima_windows, "payshack": load_payshack_windows}


@pytest.mark.parametrize("source", SOURCES)
def test_postgresql_restarts_in_the_middle_of_a_load(
    lab: Lab, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load_settings({"PSP_HOME": str(tmp_path)})
    embedded_postgres.start(own)
    try:
        url = database_url(own)
        prepare_warehouse(url)
        monkeypatch.setenv("PSP_DATABASE_URL", url)
        settings = load_settings()
        restarts = []

        def restart(report: LoadReport) -> None:
            if len(restarts) < 2:
                restarts.append(report.rows_read)
                embedded_postgres.stop(own)
                # The port may be another one; the load that is on its way does not learn of it.
                embedded_postgres.start(own)

        with pytest.raises(DatabaseError, match="PostgreSQL"):
            FEEDS[source](settings, progress=restart)
        monkeypatch.setenv("PSP_DATABASE_URL", database_url(own))
        FEEDS[source](load_settings())
        logged = truth.logged_versions(database_url(own), [name for name in truth.TABLES if name.startswith(source)])
        assert truth.differences(logged, lab.expected(source)) == []
    finally:
        embedded_postgres.stop(own)


@pytest.mark.parametrize("source", SOURCES)
def test_a_full_disk_of_the_loader_stops_no_feed(lab: Lab, source: str) -> None:
    """Records never touch the loader's disk. A session is kept, so no login needs to be written either."""
    SessionStore(lab.settings).session(payshack_access(lab.settings))
    with full_disk():
        FEEDS[source](lab.settings)
    lab.assert_complete(source)


def together(*loads: Callable[[], object]) -> list[Exception]:
    """Run all at once; what they have raised."""
    raised: list[Exception] = []
    start = threading.Barrier(len(loads))

    def run(load: Callable[[], object]) -> None:
        start.wait()
        try:
            load()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("source", SOURCES)
def test_two_feeds_at_once_are_one_feed_and_a_clear_no(lab: Lab, source: str) -> None:
    # Who comes late may find the first one gone, and then reads for nothing.
    raised = together(*[lambda: FEEDS[source](lab.settings)] * 3)
    assert len(raised) < 3
    assert all(isinstance(error, ConflictError) for error in raised), raised
    lab.assert_complete(source)


@pytest.mark.parametrize("source", SOURCES)
def test_a_feed_and_a_backfill_at_once(lab: Lab, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.change(VIMA_PARALLEL_DAYS="3", PAYSHACK_PARALLEL_DAYS="2")
    today = STANDING_AT.date()
    days = [today - timedelta(days=age) for age in range(5)]
    outcomes = []

    def backfill(settings: Settings) -> None:
        outcomes.extend(WINDOWS[source](settings, days))

    assert together(lambda: FEEDS[source](lab.settings), lambda: backfill(lab.settings)) == []
    assert [outcome.day for outcome in outcomes] == days
    assert all(outcome.report is not None for outcome in outcomes), outcomes
    FEEDS[source](lab.settings)
    lab.assert_complete(source)
