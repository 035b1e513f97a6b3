"""Vima over a real wire into a real PostgreSQL: every version once, the cursor with its rows, whatever comes."""

from collections.abc import Callable
from datetime import date, timedelta

import psycopg
import pytest
from starlette.responses import Response

from pipelines.core.errors import ConflictError, SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.settings import Settings
from pipelines.loading.news import vima_has_news
from pipelines.loading.report import LoadReport
from pipelines.loading.runs import open_load
from pipelines.loading.vima import load_vima_feed, load_vima_window, load_vima_windows, stored_cursor
from pipelines.sources.common import transport
from tests.integration.loading.conftest import KEY, NOW, TinyVima, operation, value, versions

DAY = date(2026, 1, 14)
Make = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The back-off has tests of its own; here it would only cost minutes."""
    monkeypatch.setattr(transport.PoliteTransport, "_wait", lambda self, state: 0.0)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_everything_once_and_the_second_pass_adds_nothing(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection, inclusive: bool, wrapped: bool
) -> None:
    vima.inclusive, vima.wrapped = inclusive, wrapped
    settings = vima_settings()
    first = load_vima_feed(settings)
    assert (first.rows_read, first.rows_new, first.rows_quarantined) == (250, 250, 0)
    assert versions(db) == 250
    second = load_vima_feed(settings)
    assert not second.changed
    assert versions(db) == 250
    assert stored_cursor(settings.psp_database_url.get_secret_value()) == 3 * 10**18 + 249  # type: ignore[union-attr]


def test_late_changes_of_old_operations_become_versions(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    settings = vima_settings()
    load_vima_feed(settings)
    vima.change(3, 900, current_status="success")
    vima.change(249, 901, current_status="fail")
    vima.rows.append(operation(902))
    report = load_vima_feed(settings)
    assert report.rows_new == 3
    statuses = db.execute(
        "select payload ->> 'current_status' from raw.vima_operations where record_id = %s order by source_order",
        (str(2 * 10**18 + 3),),
    ).fetchall()
    assert [status for (status,) in statuses] == ["in_process", "success"]


def test_a_change_of_nothing_but_rates_is_no_version(vima: TinyVima, vima_settings: Make) -> None:
    settings = vima_settings()
    load_vima_feed(settings)
    vima.rows[5]["rates"] = {"INR-USD": 0.0119}
    assert not load_vima_feed(settings).changed


def test_an_id_that_was_committed_late_is_not_passed_by(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    settings = vima_settings()
    late = vima.rows.pop(240)
    load_vima_feed(settings)
    vima.rows.append(late)
    assert load_vima_feed(settings).rows_new == 1
    assert versions(db) == 250


def test_malformed_records_wait_in_quarantine_and_the_rest_loads(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    bad = [
        operation(300, operation_id=None),
        operation(301, complete_amount="much"),
        operation(302, complete_amount=1.005, payment_status="success"),
        operation(303, operation_created_at="yesterday"),
        operation(304, contact="cut \ud83d"),
        operation(305, client_operation_id="x" * 5000),
        operation(306, operation_update_id="none"),
    ]
    # What no encoder of ours would write.
    raw = b'{"operation_id":"9","operation_update_id":"%d","n":1%s}'
    bad_bytes = [raw % (3 * 10**18 + 307, b"e999999"), raw.replace(b'"n":1%s', b'"n":"\xff"') % (3 * 10**18 + 308)]
    vima.rows += bad + bad_bytes + [operation(309)]
    report = load_vima_feed(vima_settings())
    assert (report.rows_new, report.rows_quarantined) == (251, 9)
    reasons = dict(db.execute("select reason, count(*) from raw.quarantine group by 1").fetchall())
    assert reasons == {
        "missing_id": 1,
        "broken_amount": 1,
        "inexact_amount": 1,
        "unparseable_time": 1,
        "unstorable_text": 2,
        "oversized_key": 1,
        "missing_order": 1,
        "broken_number": 1,
    }
    again = load_vima_feed(vima_settings())
    assert not again.changed


def test_a_quarantined_record_at_the_very_end_moves_the_cursor_and_is_no_news(
    vima: TinyVima, vima_settings: Make
) -> None:
    vima.rows.append(b'{"operation_id":"9","operation_update_id":"%d","n":1e999999}' % (3 * 10**18 + 400))
    settings = vima_settings()
    load_vima_feed(settings)
    assert stored_cursor(settings.psp_database_url.get_secret_value()) == 3 * 10**18 + 400  # type: ignore[union-attr]
    assert vima_has_news(settings) is False


def test_the_watermark_is_the_moment_at_which_nothing_more_was_found(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    report = load_vima_feed(vima_settings())
    assert report.watermarks == {"payin": NOW, "payout": NOW}
    later = vima_settings(PSP_NOW=(NOW + timedelta(hours=1)).isoformat())
    load_vima_feed(later)
    assert value(db, "select min(watermark) from raw.source_watermarks") == NOW + timedelta(hours=1)
    load_vima_feed(vima_settings())
    assert value(db, "select min(watermark) from raw.source_watermarks") == NOW + timedelta(hours=1)


def test_a_feed_that_breaks_off_keeps_what_it_read_and_has_no_watermark(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    def down(number: int) -> Response | None:
        return Response(b"down", status_code=503) if number > 2 else None

    vima.before = down
    with pytest.raises(SourceUnavailable, match="HTTP 503"):
        load_vima_feed(vima_settings())
    assert versions(db) == 199  # two pages that share a row
    assert value(db, "select count(*) from raw.source_watermarks") == 0
    status, error = db.execute("select status, error from raw.load_runs").fetchone()  # type: ignore[misc]
    assert status == "failed"
    assert KEY not in error
    vima.before = lambda number: None
    assert load_vima_feed(vima_settings()).rows_new == 51


def test_a_wrong_key_is_told_once_and_never_shown(vima: TinyVima, vima_settings: Make, db: psycopg.Connection) -> None:
    with pytest.raises(SourceAuthError) as caught:
        load_vima_feed(vima_settings(VIMA_API_KEY="another-invented-key"))
    assert vima.requests == 1
    assert "check the Vima credentials" in str(caught.value)
    assert "another-invented-key" not in str(caught.value) + value(db, "select error from raw.load_runs")
    assert versions(db) == 0


def test_html_instead_of_json_is_a_clear_error(vima: TinyVima, vima_settings: Make) -> None:
    vima.before = lambda number: Response("<html>login</html>", media_type="text/html")
    with pytest.raises(SourceContractError, match="answered text/html instead of JSON"):
        load_vima_feed(vima_settings())


def test_news_is_what_lies_beyond_the_cursor(vima: TinyVima, vima_settings: Make, db: psycopg.Connection) -> None:
    settings = vima_settings()
    assert vima_has_news(settings) is True
    load_vima_feed(settings)
    for inclusive in (False, True):
        vima.inclusive = inclusive
        assert vima_has_news(settings) is False
    later = vima_settings(PSP_NOW=(NOW + timedelta(minutes=1)).isoformat())
    assert vima_has_news(later) is False
    assert value(db, "select min(watermark) from raw.source_watermarks") == NOW + timedelta(minutes=1)
    vima.change(7, 950, current_status="success")
    assert vima_has_news(settings) is True


def test_a_look_at_a_provider_that_is_down_says_so_plainly(vima: TinyVima, vima_settings: Make) -> None:
    vima.before = lambda number: Response(b"", status_code=500)
    with pytest.raises(SourceUnavailable, match="Vima does not answer"):
        vima_has_news(vima_settings())


def test_a_window_reads_its_day_and_leaves_cursor_and_watermark_alone(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    vima.rows += [operation(number) for number in range(1440, 1500)]  # of the next day
    report = load_vima_window(vima_settings(), DAY)
    assert report.rows_new == 250
    assert value(db, "select count(*) from raw.source_cursors") == 0
    assert value(db, "select count(*) from raw.source_watermarks") == 0
    passed = db.execute("select window_date, total_records, distinct_records from raw.window_passes").fetchall()
    assert passed == [(DAY, 250, 250)]
    assert value(db, "select position from raw.window_progress") is None


def test_feed_and_window_of_the_same_day_add_no_row_twice(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    load_vima_feed(vima_settings())
    assert not load_vima_window(vima_settings(), DAY).changed
    assert versions(db) == 250


def test_an_interrupted_window_goes_on_where_its_last_commit_ended(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:

    def down(number: int) -> Response | None:
        return Response(b"down", status_code=503) if number > 2 else None

    vima.before = down
    with pytest.raises(SourceUnavailable):
        load_vima_window(vima_settings(), DAY)
    assert versions(db) == 199
    vima.before, vima.requests = (lambda number: None), 0
    report = load_vima_window(vima_settings(), DAY)
    assert report.rows_new == 51
    assert vima.requests == 2  # the rest, and the end; not the day from its beginning
    assert value(db, "select total_records from raw.window_passes") == 250
    vima.requests = 0
    load_vima_window(vima_settings(), DAY)
    assert vima.requests == 4  # a finished day is read again from its beginning


def test_an_old_interruption_starts_anew(vima: TinyVima, vima_settings: Make, db: psycopg.Connection) -> None:
    vima.before = lambda number: Response(b"down", status_code=503) if number > 2 else None
    with pytest.raises(SourceUnavailable):
        load_vima_window(vima_settings(), DAY)
    vima.before, vima.requests = (lambda number: None), 0
    load_vima_window(vima_settings(PSP_NOW=(NOW + timedelta(hours=7)).isoformat()), DAY)
    assert vima.requests == 4
    assert value(db, "select started_at from raw.window_passes") == NOW + timedelta(hours=7)


def test_several_days_at_once_and_a_failed_one_does_not_stop_the_others(
    vima: TinyVima, vima_settings: Make, db: psycopg.Connection
) -> None:
    vima.rows = [operation(day * 1440 + number) for day in range(4) for number in range(30)]
    settings = vima_settings(VIMA_PARALLEL_DAYS="3")
    days = [DAY + timedelta(days=number) for number in range(4)]
    with open_load(settings, source="vima", mode="window", scope=days[1].isoformat()):
        outcomes = list(load_vima_windows(settings, days))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ConflictError, type(None), type(None)]
    assert versions(db) == 90
    seen: list[LoadReport] = []
    assert all(outcome.report for outcome in load_vima_windows(settings, days, progress=seen.append))
    assert versions(db) == 120
    assert {report.scope for report in seen} == {day.isoformat() for day in days}


def test_two_feeds_at_once_are_one_and_a_clear_no(vima: TinyVima, vima_settings: Make) -> None:
    settings = vima_settings()
    with (
        open_load(settings, source="vima", mode="feed", scope="update cursor"),
        pytest.raises(ConflictError, match="already being loaded"),
    ):
        load_vima_feed(settings)
    assert load_vima_feed(settings).rows_new == 250
