"""What the code location offers, without a database: nothing is lost on the way, and everything is labelled."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from tests.conftest import take_parsed_models

FEED_JOBS = {"vima_feed_job": "vima", "payshack_feed_job": "payshack"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, parsed_models: Path) -> Iterator[Any]:
    """The definitions as every Dagster process loads them, over a PSP_HOME without data."""
    home = tmp_path_factory.mktemp("home")
    take_parsed_models(parsed_models, home)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("PSP_", "VIMA_", "PAYSHACK_", "DAGSTER_")):
                patch.delenv(name)
        patch.setenv("PSP_HOME", str(home))
        yield defs().get_repository_def()


def asset_nodes(repository: Any) -> dict[str, Any]:
    graph = repository.asset_graph
    return {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}


def test_every_asset_has_group_owner_description_and_kind(repository: Any) -> None:
    nodes = asset_nodes(repository)
    assert nodes
    for name, node in nodes.items():
        assert node.group_name not in (None, "default"), name
        assert node.owners, name
        assert len(node.description or "") > 20, name
        assert node.kinds, name
        assert "layer" in node.tags, name


def test_loose_jobs_sensors_and_checks_are_found(repository: Any) -> None:
    jobs = {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"}
    exports = {f"{name}_job" for name in ("finance_close", "finance_transactions", "finance_week")}
    others = {"models_job", "backfill_job", "payshack_sweep_job", "first_load_job"}
    others |= {"mirror_job", "provisional_close_job", "nightly_equality_job"}
    assert jobs == {*FEED_JOBS, *others, *exports}
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert schedules["nightly_equality_schedule"].execution_timezone == "Asia/Kolkata"
    assert schedules["nightly_equality_schedule"].default_status is dg.DefaultScheduleStatus.RUNNING
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    feeds = {"vima_feed_sensor", "payshack_feed_sensor", "payshack_sweep_sensor"}
    assert set(sensors) == {*feeds, "models_sensor", "run_failure_sensor"}
    for sensor in sensors.values():
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
        assert sensor.description, sensor.name
    assert sensors["vima_feed_sensor"].minimum_interval_seconds == 60
    assert sensors["payshack_feed_sensor"].minimum_interval_seconds == 300


def test_only_the_nightly_job_compares_with_a_rebuild(repository: Any) -> None:
    jobs = [job for job in repository.get_all_jobs() if job.name != "__ASSET_JOB"]
    compares = {job.name for job in jobs if "nightly_equality" in {node.name for node in job.nodes}}
    assert compares == {"nightly_equality_job"}


@pytest.mark.parametrize("job_name", ["models_job", "first_load_job", *FEED_JOBS])
def test_a_run_of_the_models_leaves_none_behind(repository: Any, job_name: str) -> None:
    # One that is left out never sees a raw row again, and models_sensor would ask for a run each minute.
    models = {key for key, node in asset_nodes(repository).items() if "dbt" in node.kinds}
    models.remove("closing/day_closes")  # the close itself, which runs models, is no model
    assert "marts_pii/pii_transaction_parties" in models
    selected = {key.to_user_string() for key in repository.get_job(job_name).asset_layer.executable_asset_keys}
    assert models <= selected


def test_lineage_joins_the_raw_assets_with_the_models(repository: Any) -> None:
    nodes = asset_nodes(repository)

    def parents(name: str) -> set[str]:
        return {key.to_user_string() for key in nodes[name].parent_keys}

    assert "raw/vima_operations" in parents("staging/stg_vima__operation_versions")
    assert "raw/payshack_payins" in parents("staging/stg_payshack__payin_versions")
    assert "raw/payshack_payouts" in parents("staging/stg_payshack__payout_versions")
    assert "raw/payshack_clients" in parents("staging/stg_payshack__clients")
    assert parents("raw/payshack_balance_snapshots") == {"raw/payshack_clients"}
    assert "raw/payshack_balance_snapshots" in parents("intermediate/int_balances__snapshots")
    assert "raw/source_watermarks" in parents("marts/rpt_source_health")
    assert parents("raw/source_watermarks") == {"raw/vima_operations", "raw/payshack_payins", "raw/payshack_payouts"}
    assert "marts/fct_reconciliation" in parents("publish/freshness")
    assert "marts/rpt_metrics_daily" in parents("metabase/overview")
    assert parents("exports/finance_close") == {"marts/rpt_reconciliation_daily"}


def test_keys_mirror_the_warehouse(repository: Any) -> None:
    layers: dict[str, set[str]] = {}
    for name in asset_nodes(repository):
        layer, relation = name.split("/")
        layers.setdefault(layer, set()).add(relation)
    schemas = {"raw", "reference", "staging", "intermediate", "breaks", "marts", "marts_pii", "closing"}
    assert set(layers) == schemas | {"publish", "exports", "metabase"}
    assert layers["raw"] == {
        "vima_operations",
        "payshack_payins",
        "payshack_payouts",
        "payshack_clients",
        "payshack_balance_snapshots",
        "payshack_resellers",
        "payshack_service_providers",
        "quarantine",
        "source_watermarks",
        "window_passes",
        "load_runs",
        "bank_statements",
        "bank_lines",
    }
    assert layers["marts"] >= {"fct_transactions", "fct_reconciliation", "rpt_source_health"}
    assert layers["publish"] == {"freshness"}


def test_freshness_policies_are_on_what_feeds_renew_and_nowhere_else(repository: Any) -> None:
    nodes = asset_nodes(repository)
    watched = {name for name, node in nodes.items() if node.freshness_policy is not None}
    assert watched == {
        name
        for name, node in nodes.items()
        if name.startswith(("raw/", "marts/"))
        and node.group_name != "ingest/bookkeeping"
        and node.tags.get("psp/materialized") != "view"
    }
    assert "marts/fct_metrics_5m" in watched
    assert "marts/rpt_metrics_daily" not in watched


def test_dbt_tests_and_our_own_looks_are_asset_checks(repository: Any) -> None:
    checks = {(key.asset_key.to_user_string(), key.name) for key in repository.asset_graph.asset_check_keys}
    assert ("raw/vima_operations", "source_not_null_raw_vima_operations_record_id") in checks
    assert any(asset == "marts/fct_reconciliation" for asset, _ in checks)
    assert {name for asset, name in checks if asset == "marts/rpt_source_health"} >= {
        "watermark_is_recent_vima_payin",
        "watermark_is_recent_vima_payout",
        "watermark_is_recent_payshack_payin",
        "watermark_is_recent_payshack_payout",
    }
    assert ("marts/rpt_metrics_daily", "no_missing_business_day_vima") in checks
    assert {name for asset, name in checks if asset == "marts/fct_reconciliation"} >= {
        "keys_are_present",
        "keys_are_unique",
        "keys_do_not_collide",
    }
    assert ("marts/fct_transactions", "words_are_known") in checks
    assert ("marts/rpt_day_closes", "no_final_close_is_overdue") in checks
    identity = {name for asset, name in checks if asset == "marts/rpt_balance_identity_daily"}
    assert identity >= {"balances_follow_from_movements", "balances_are_read", "equals_a_full_rebuild"}
    assert ("intermediate/int_balances__snapshots", "equals_a_full_rebuild") in checks
    assert {("raw/payshack_payins", "signs_are_as_read"), ("raw/payshack_payouts", "signs_are_as_read")} <= checks
    for table in ("vima_operations", "payshack_payins", "payshack_payouts"):
        assert {(f"raw/{table}", "source_total_equals_raw"), (f"raw/{table}", "schema_has_not_drifted")} <= checks


def test_raw_assets_have_one_run_per_utc_day_today_included(repository: Any) -> None:
    for name, node in asset_nodes(repository).items():
        if not name.startswith("raw/") or node.group_name == "ingest/bookkeeping":
            continue
        assert node.partitions_def.get_cron_schedule() == "0 0 * * *"
        assert node.partitions_def.timezone == "UTC"
        assert node.partitions_def.end_offset == 1
        assert node.backfill_policy.max_partitions_per_run == 1


@pytest.mark.parametrize("job_name", FEED_JOBS)
def test_a_feed_loads_then_runs_the_models_then_tells(repository: Any, job_name: str) -> None:
    job = repository.get_job(job_name)
    assert job.tags["psp/mode"] == "feed"
    assert job.tags["psp/source"] == FEED_JOBS[job_name]
    assert job.executor_def.name == "in_process"
    steps = {node.name for node in job.graph.nodes}
    load = "raw__vima_operations" if job_name == "vima_feed_job" else "payshack"
    assert steps >= {load, "models", "publish__freshness"}


def test_the_models_have_no_pool_and_the_providers_have_one(repository: Any) -> None:
    pools = {node.name: node.definition.pool for node in repository.get_job("backfill_job").graph.nodes}
    assert pools == {"raw__vima_operations": "vima_api", "payshack": "payshack_api"}
    models = next(node for node in repository.get_job("models_job").graph.nodes if node.name == "models")
    assert models.definition.pool is None
