"""models_sensor: the models run when time alone or rows without models make work, once, and not beside another run."""

import json
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from tests.integration.dagster.conftest import Platform
from tests.sandbox import STANDING_AT

A_ROW_WITHOUT_MODELS = """
insert into raw.vima_operations
    (record_id, content_hash, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
     load_mode, load_scope, load_page, _dlt_load_id)
select
    record_id, content_hash || %s, order_key, source_order, source_created_at, source_updated_at, payload, observed_at,
    'window', load_scope, load_page, _dlt_load_id
from raw.vima_operations
order by record_id
limit 1
"""


def skipped(result: Any) -> str:
    """The sentence with which the tick was skipped."""
    assert not result.run_requests
    assert str(result.skip_message).endswith(".")
    return str(result.skip_message)


def run_models(platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """models_job in this process, as a run of the instance."""
    return platform.job("models_job").execute_in_process(instance=instance, raise_on_error=True)


def test_time_and_backfills_make_work_once(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = "No row of fct_reconciliation is due, and the models have seen every raw row."
    assert skipped(platform.tick("models_sensor", instance)) == idle

    # Time passes: payments that were in flight at noon are not any more, and only the clock says so.
    later = STANDING_AT + timedelta(hours=3)
    ((waiting,),) = platform.query("select count(*) from marts.fct_reconciliation where review_at <= %s", later)
    assert waiting > 0
    monkeypatch.setenv("PSP_NOW", later.isoformat())
    result = platform.tick("models_sensor", instance)
    assert len(result.run_requests) == 1
    run_models(platform, instance)
    assert platform.query("select distinct evaluated_at from marts.rpt_source_health") == [(later,)]
    assert platform.query("select count(*) from marts.fct_reconciliation where review_at <= %s", later) == [(0,)]
    assert skipped(platform.tick("models_sensor", instance, result.cursor)) == idle

    # A backfill loads a version and runs no models.
    platform.query(A_ROW_WITHOUT_MODELS, "-a")
    result = platform.tick("models_sensor", instance, result.cursor)
    assert len(result.run_requests) == 1
    seen = json.loads(result.cursor)["newest_loaded"]
    assert platform.query("select max(loaded_xid) from raw.vima_operations") == [(seen,)]
    run_models(platform, instance)
    assert skipped(platform.tick("models_sensor", instance, result.cursor)) == idle


def test_a_run_that_ends_with_the_models_is_waited_for(platform: Platform, instance: dg.DagsterInstance) -> None:
    platform.query(A_ROW_WITHOUT_MODELS, "-b")
    for job in ("models_job", "vima_feed_job", "first_load_job", "payshack_feed_job"):
        run = instance.create_run_for_job(platform.job(job), status=dg.DagsterRunStatus.STARTED)
        assert run.run_id[:8] in skipped(platform.tick("models_sensor", instance))
        instance.report_run_canceled(run, "by hand")
    assert len(platform.tick("models_sensor", instance).run_requests) == 1


def test_the_same_row_is_asked_for_again_only_after_a_failure(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.query(A_ROW_WITHOUT_MODELS, "-c")
    cursor = platform.tick("models_sensor", instance).cursor
    run = instance.create_run_for_job(platform.job("models_job"), status=dg.DagsterRunStatus.STARTED)
    assert "on its way" in skipped(platform.tick("models_sensor", instance, cursor))
    instance.report_run_canceled(run, "by hand")
    assert skipped(platform.tick("models_sensor", instance, cursor)).startswith("No row of")
    run = instance.create_run_for_job(platform.job("models_job"), status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "the database went away")
    assert skipped(platform.tick("models_sensor", instance, cursor)).startswith("The last run of the models failed")
    monkeypatch.setattr("pipelines.defs.watch.runs.LONGEST_PAUSE", timedelta(0))
    assert len(platform.tick("models_sensor", instance, cursor).run_requests) == 1


def test_only_reached_watermarks_make_rows_due(platform: Platform, instance: dg.DagsterInstance) -> None:
    # What the tests above have left without models would make work as well.
    platform.query("delete from raw.vima_operations where content_hash ~ '-[bc]$'")
    waiting = platform.query(
        "select awaited_source, flow, max(awaited_watermark) from marts.fct_reconciliation"
        " where awaited_watermark is not null group by 1, 2 order by 3 desc limit 1"
    )
    if not waiting:
        platform.query(
            "update marts.fct_reconciliation set awaited_source = 'payshack', awaited_watermark = %s"
            " where reconciliation_id = (select min(reconciliation_id) from marts.fct_reconciliation)",
            STANDING_AT - timedelta(hours=1),
        )
        waiting = platform.query(
            "select awaited_source, flow, awaited_watermark from marts.fct_reconciliation"
            " where awaited_watermark is not null"
        )
    source, flow, awaited = waiting[0]
    change = "update raw.source_watermarks set watermark = %s where source = %s and flow = %s"
    try:
        platform.query(change, awaited - timedelta(minutes=1), source, flow)
        assert skipped(platform.tick("models_sensor", instance)).startswith("No row of")
        # Reached a moment ago: the next feed does it. Reached a while ago: nobody does.
        platform.query(change, awaited + timedelta(seconds=30), source, flow)
        assert skipped(platform.tick("models_sensor", instance)).startswith("No row of")
        platform.query(change, awaited + timedelta(minutes=3), source, flow)
        assert len(platform.tick("models_sensor", instance).run_requests) == 1
    finally:
        platform.query(change, STANDING_AT, source, flow)
