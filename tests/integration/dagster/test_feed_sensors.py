"""The feed sensors, tick by tick, over real providers: news starts a feed, nothing new moves the watermark only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import dagster as dg
import pytest

from tests.integration.dagster.conftest import Platform
from tests.sandbox import STANDING_AT, free_port

FEED_TAGS = {
    "vima": {"psp/source": "vima", "psp/mode": "feed"},
    "payshack": {"psp/source": "payshack", "psp/mode": "feed"},
}
SOURCES = ("vima", "payshack")


def skipped(result: Any) -> str:
    """The sentence with which the tick was skipped."""
    assert not result.run_requests, result.run_requests
    reason = str(result.skip_message)
    assert reason[0].isupper(), reason
    assert reason.endswith("."), reason
    return reason


def requested(result: Any, source: str) -> dg.RunRequest:
    """The one run that the tick asks for."""
    (request,) = result.run_requests
    assert FEED_TAGS[source].items() <= request.tags.items()
    return request


@contextmanager
def watermarks(platform: Platform, source: str, at: datetime) -> Iterator[None]:
    """The source's watermarks as of `at`."""
    platform.query("update raw.source_watermarks set watermark = %s where source = %s", at, source)
    yield
    platform.query("update raw.source_watermarks set watermark = %s where source = %s", STANDING_AT, source)


def unfinished_run(platform: Platform, instance: dg.DagsterInstance, source: str, **tags: str) -> dg.DagsterRun:
    return instance.create_run_for_job(
        platform.job(f"{source}_feed_job"),
        status=dg.DagsterRunStatus.STARTED,
        tags=FEED_TAGS[source] | tags | {"dagster/partition": "2026-01-15"},
    )


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_new_is_no_run(platform: Platform, instance: dg.DagsterInstance, source: str) -> None:
    label = {"vima": "Vima", "payshack": "PayShack"}[source]
    reason = skipped(platform.tick(f"{source}_feed_sensor", instance))
    assert reason == f"{label} has nothing new; it is read in any case at 12:18:00 UTC."


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_new_moves_the_watermark(platform: Platform, instance: dg.DagsterInstance, source: str) -> None:
    with watermarks(platform, source, STANDING_AT - timedelta(hours=1)):
        skipped(platform.tick(f"{source}_feed_sensor", instance))
        found = platform.query("select flow, watermark from raw.source_watermarks where source = %s", source)
    assert dict(found) == {"payin": STANDING_AT, "payout": STANDING_AT}


@pytest.mark.parametrize("source", SOURCES)
def test_a_quiet_source_is_read_in_any_case(
    platform: Platform, instance: dg.DagsterInstance, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSP_NOW", (STANDING_AT + timedelta(minutes=15)).isoformat())
    assert requested(platform.tick(f"{source}_feed_sensor", instance), source).partition_key == "2026-01-15"


def test_news_of_vima_starts_a_feed_of_todays_partition(platform: Platform, instance: dg.DagsterInstance) -> None:
    ((cursor,),) = platform.query("select cursor_value from raw.source_cursors where source = 'vima'")
    platform.query(
        "update raw.source_cursors set cursor_value = (cursor_value::numeric - 1)::text where source = 'vima'"
    )
    try:
        with watermarks(platform, "vima", STANDING_AT - timedelta(hours=1)):
            request = requested(platform.tick("vima_feed_sensor", instance), "vima")
            found = platform.query("select distinct watermark from raw.source_watermarks where source = 'vima'")
        assert request.partition_key == "2026-01-15"
        assert found == [(STANDING_AT - timedelta(hours=1),)], "news that is not loaded yet must not move the watermark"
    finally:
        platform.query("update raw.source_cursors set cursor_value = %s where source = 'vima'", cursor)


ONE_MORE_RECORD = """
update raw.window_passes set total_records = total_records - %s
where stream = 'payshack_payouts'
    and window_date = (select max(window_date) from raw.window_passes where stream = 'payshack_payouts')
"""
ANOTHER_VERSION = """
update raw.payshack_payins set source_updated_at = source_updated_at - %s * interval '1 second'
where source_created_at = (select max(source_created_at) from raw.payshack_payins)
"""


@pytest.mark.parametrize("change", [ONE_MORE_RECORD, ANOTHER_VERSION], ids=["one more record", "another version"])
def test_news_of_payshack_starts_a_feed(platform: Platform, instance: dg.DagsterInstance, change: str) -> None:
    platform.query(change, 1)
    try:
        requested(platform.tick("payshack_feed_sensor", instance), "payshack")
    finally:
        platform.query(change, -1)


@pytest.mark.parametrize("source", SOURCES)
def test_the_first_feed_starts_at_once(platform: Platform, instance: dg.DagsterInstance, source: str) -> None:
    platform.query("update raw.load_runs set mode = 'window' where source = %s", source)
    try:
        requested(platform.tick(f"{source}_feed_sensor", instance), source)
    finally:
        platform.query("update raw.load_runs set mode = 'feed' where source = %s", source)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("tags", [{}, {"psp/source": "all"}], ids=["its own feed", "the first load"])
def test_never_two_feeds_of_a_source(
    platform: Platform, instance: dg.DagsterInstance, source: str, tags: dict[str, str]
) -> None:
    run = unfinished_run(platform, instance, source, **tags)
    reason = skipped(platform.tick(f"{source}_feed_sensor", instance))
    assert f"is on its way already: run {run.run_id[:8]}" in reason


def test_a_feed_of_the_other_source_is_no_obstacle(platform: Platform, instance: dg.DagsterInstance) -> None:
    unfinished_run(platform, instance, "payshack")
    assert "has nothing new" in skipped(platform.tick("vima_feed_sensor", instance))


def test_failures_in_a_row_lengthen_the_pause_and_a_success_ends_it(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSP_NOW", (STANDING_AT + timedelta(hours=1)).isoformat())

    def one_more(*, failed: bool) -> None:
        run = unfinished_run(platform, instance, "vima")
        if failed:
            instance.report_run_failed(run, "the provider is down")
        else:
            instance.report_run_canceled(run, "by hand")

    def pause() -> tuple[str, timedelta]:
        reason = skipped(platform.tick("vima_feed_sensor", instance))
        until = datetime.combine(datetime.now(UTC), time.fromisoformat(reason[-13:-5]), UTC)
        return reason, (until - datetime.now(UTC)) % timedelta(days=1)

    one_more(failed=True)
    reason, waiting = pause()
    assert reason.startswith("The last feed of Vima failed; the next one is tried after ")
    assert waiting <= timedelta(minutes=2)
    one_more(failed=True)
    reason, waiting = pause()
    assert reason.startswith("The last 2 feeds of Vima failed")
    assert timedelta(minutes=3) < waiting <= timedelta(minutes=4)
    for _ in range(4):
        one_more(failed=True)
    assert pause()[1] <= timedelta(minutes=15)
    one_more(failed=False)
    requested(platform.tick("vima_feed_sensor", instance), "vima")


def test_a_provider_that_is_down_fails_the_tick_plainly(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "invented-key-of-a-dead-provider"
    monkeypatch.setenv("VIMA_BASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("VIMA_API_KEY", secret)
    with pytest.raises(dg.Failure) as failure:
        platform.tick("vima_feed_sensor", instance)
    told = str(failure.value.description)
    assert "Vima does not answer" in told
    assert "Fix: check that the provider is up" in told
    assert secret not in told
    assert failure.value.__suppress_context__


def test_a_refused_key_fails_the_tick_plainly(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = json.loads((platform.home / "sandbox.json").read_text())["vima"]["base_url"]
    monkeypatch.setenv("VIMA_BASE_URL", address)
    monkeypatch.setenv("VIMA_API_KEY", "invented-wrong-key")
    with pytest.raises(dg.Failure, match="refused the credentials"):
        platform.tick("vima_feed_sensor", instance)


def test_a_database_that_is_down_fails_the_tick_plainly(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSP_DATABASE_URL", f"postgresql://psp:invented-pass@127.0.0.1:{free_port()}/psp")
    for sensor in ("vima_feed_sensor", "models_sensor"):
        with pytest.raises(dg.Failure, match="PostgreSQL is not reachable") as failure:
            platform.tick(sensor, instance)
        assert "invented-pass" not in str(failure.value.description)


def test_without_a_session_a_feed_signs_in_and_the_sensor_does_not(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    session = platform.home / "payshack" / "session.json"
    session.unlink()
    requested(platform.tick("payshack_feed_sensor", instance), "payshack")
    assert not session.exists()


def test_a_session_that_the_portal_refuses_is_forgotten(platform: Platform, instance: dg.DagsterInstance) -> None:
    session = platform.home / "payshack" / "session.json"
    session.write_text(json.dumps(json.loads(session.read_text()) | {"token": "invented-token-that-nobody-gave"}))
    requested(platform.tick("payshack_feed_sensor", instance), "payshack")
    assert not session.exists()


def test_refused_logins_are_not_repeated_by_ticking(platform: Platform, instance: dg.DagsterInstance) -> None:
    folder = platform.home / "payshack"
    (folder / "session.json").unlink()
    until = datetime.now(UTC) + timedelta(minutes=30)
    breaker = {"refusals": 3, "until": until.isoformat()}
    (folder / "breaker.json").write_text(json.dumps(breaker))
    for _ in range(5):
        reason = skipped(platform.tick("payshack_feed_sensor", instance))
        assert "refused 3 logins in a row; no login is tried before" in reason
    assert json.loads((folder / "breaker.json").read_text()) == breaker
