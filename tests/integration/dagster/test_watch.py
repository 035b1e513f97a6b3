"""What watches over the feeds: the raw log's own checks, match keys by group, the nightly sweep, and quiet sources."""

import json
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.core.settings import load_settings
from pipelines.sidecar import freshness
from tests.integration.dagster.conftest import Platform
from tests.integration.dagster.test_feed_sensors import skipped, watermarks
from tests.sandbox import STANDING_AT

RAW = [dg.AssetKey(["raw", table]) for table in ("vima_operations", "payshack_payins", "payshack_payouts")]
KEYS = ("keys_are_present", "keys_are_unique", "keys_do_not_collide")


def look(platform: Platform, instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of the raw log and of the match keys, evaluated now."""
    names = ("source_total_equals_raw", "schema_has_not_drifted")
    wanted = [dg.AssetCheckKey(key, name) for key in RAW for name in names]
    wanted += [dg.AssetCheckKey(dg.AssetKey(["marts", "fct_reconciliation"]), name) for name in KEYS]
    job = dg.define_asset_job("only_looks", selection=dg.AssetSelection.checks(*wanted))
    definitions = dg.Definitions(
        assets=platform.definitions.assets, asset_checks=platform.definitions.asset_checks, jobs=[job]
    )
    ran = definitions.resolve_job_def("only_looks").execute_in_process(instance=instance)
    return {f"{check.asset_key.path[-1]}:{check.check_name}": check for check in ran.get_asset_check_evaluations()}


def metadata(check: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in check.metadata.items()}


def test_the_raw_log_is_judged_against_the_sources_own_totals_and_shape(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    found = look(platform, instance)
    assert len(found) == 9
    total = metadata(found["payshack_payins:source_total_equals_raw"])
    assert found["payshack_payins:source_total_equals_raw"].passed
    assert total["days_counted"] > 5
    assert total["source_total"] == total["raw_ids"] > 500
    assert metadata(found["vima_operations:schema_has_not_drifted"])["recent_rows"] > 0

    columns = [
        name
        for (name,) in platform.query(
            "select column_name from information_schema.columns"
            " where table_schema = 'raw' and table_name = 'payshack_payins'"
        )
    ]
    named = ", ".join(columns)
    platform.query(
        f"create table public.kept as select {named} from raw.payshack_payins where record_id = ("  # noqa: S608
        "select record_id from raw.payshack_payins where source_created_at::date = date '2026-01-13' limit 1)"
    )
    platform.query("delete from raw.payshack_payins where record_id in (select record_id from public.kept)")
    try:
        check = look(platform, instance)["payshack_payins:source_total_equals_raw"]
    finally:
        platform.query(f"insert into raw.payshack_payins ({named}) select {named} from public.kept")  # noqa: S608
        platform.query("drop table public.kept")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert metadata(check)["lost_by_day"] == {"2026-01-13": 1}


def test_match_keys_are_judged_by_project_and_flow(platform: Platform, instance: dg.DagsterInstance) -> None:
    one_project = "source = 'payshack' and flow = 'payin' and project = '91game'"
    ((affected,),) = platform.query(
        f"select count(*) from marts.fct_transactions where {one_project} and business_date >= date '2026-01-08'"  # noqa: S608
    )
    assert affected > 50
    usual = look(platform, instance)
    assert "payshack 91game payin" in metadata(usual["fct_reconciliation:keys_are_present"])["by_group"]
    kept = f"select transaction_id, order_key from marts.fct_transactions where {one_project}"  # noqa: S608
    platform.query(f"create table public.kept as {kept}")
    platform.query(f"update marts.fct_transactions set order_key = null where {one_project}")  # noqa: S608
    try:
        without = look(platform, instance)
        platform.query(f"update marts.fct_transactions set order_key = 'the same' where {one_project}")  # noqa: S608
        repeated = look(platform, instance)
    finally:
        platform.query(
            "update marts.fct_transactions as now set order_key = kept.order_key from public.kept as kept"
            " where kept.transaction_id = now.transaction_id"
        )
        platform.query("drop table public.kept")
    for check in (without["fct_reconciliation:keys_are_present"], repeated["fct_reconciliation:keys_are_unique"]):
        assert not check.passed
        assert "payshack 91game payin" in metadata(check)["groups_over_the_limit"]


def test_a_night_is_swept_once_and_goes_on_where_it_stopped(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has been read since 2026-01-14 20:30 UTC" in skipped(platform.tick("payshack_sweep_sensor", instance))
    monkeypatch.setenv("PAYSHACK_SWEEP_DAYS", "5")
    tomorrow = STANDING_AT + timedelta(days=1)
    monkeypatch.setenv("PSP_NOW", tomorrow.isoformat())
    result = platform.tick("payshack_sweep_sensor", instance)
    (request,) = result.run_requests
    assert request.tags["psp/mode"] == "sweep"
    assert request.tags["psp/sweep_since"] == "2026-01-15T20:30:00+00:00"
    passes = platform.query(
        "select stream, window_date, started_at from raw.window_passes where started_at is not null"
    )
    try:
        ran = platform.job("payshack_sweep_job").execute_in_process(
            instance=instance, partition_key=request.partition_key, tags=request.tags
        )
        assert ran.success
        flows = {event.asset_key.path[-1] for event in ran.get_asset_materialization_events() if event.asset_key}
        assert flows == {"payshack_payins", "payshack_payouts"}
        swept = platform.query(
            "select count(*) from raw.window_passes where stream <> 'vima_operations' and started_at >= %s", tomorrow
        )
        assert swept[0][0] == 12, "five days and today, of both flows"
        assert "has been read since 2026-01-15 20:30 UTC" in skipped(platform.tick("payshack_sweep_sensor", instance))
        platform.query("update raw.window_passes set started_at = %s where window_date = '2026-01-14'", STANDING_AT)
        (again,) = platform.tick("payshack_sweep_sensor", instance).run_requests
        assert again.tags["psp/sweep_left"] == "2 days"
    finally:
        for stream, day, started in passes:
            platform.query(
                "update raw.window_passes set started_at = %s where stream = %s and window_date = %s",
                started,
                stream,
                day,
            )


def stale(platform: Platform) -> tuple[Any, bool]:
    """What the sidecar's `meta` says of the marts."""
    settings = load_settings(platform.environment | {"PSP_NOW": platform.settings.clock().isoformat()})
    with platform.connect() as connection:
        row = connection.execute(freshness.QUERY.encode(), freshness.parameters(settings)).fetchone()
    assert row is not None
    found = freshness.Freshness(as_of=row[0], stale_at=row[1])
    return found.as_of, found.is_stale(settings.clock())


def test_a_quiet_source_is_not_called_stale(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten = STANDING_AT + timedelta(minutes=10)
    kept = platform.query("select source, flow, watermark from marts.rpt_source_health")
    monkeypatch.setenv("PSP_NOW", ten.isoformat())
    with platform.connect() as listening, watermarks(platform, "vima", STANDING_AT):
        listening.autocommit = True
        listening.execute("listen psp_freshness")
        assert stale(platform) == (STANDING_AT, True), "three polls of Vima were missed"
        try:
            # A row that no model has seen: then nobody may say that the marts are complete.
            platform.query("update intermediate.model_state set processed_xid = 1")
            skipped(platform.tick("vima_feed_sensor", instance))
            assert stale(platform)[1]
            platform.query("update intermediate.model_state set processed_xid = pg_current_xact_id()::text::bigint")
            skipped(platform.tick("vima_feed_sensor", instance))
            assert stale(platform) == (STANDING_AT, False), "Vima was just found to have nothing new"
            health = platform.query("select watermark, lag_seconds from marts.rpt_source_health where source = 'vima'")
            assert health == [(ten, 0), (ten, 0)]
            told = [json.loads(notice.payload) for notice in listening.notifies(timeout=5, stop_after=2)]
            assert {(one["source"], one["flow"]) for one in told} == {("vima", "payin"), ("vima", "payout")}
            assert {one["lag_seconds"] for one in told} == {0}
        finally:
            for source, flow, watermark in kept:
                platform.query(
                    "update marts.rpt_source_health set watermark = %s where source = %s and flow = %s",
                    watermark,
                    source,
                    flow,
                )
