"""Runs in this process over real providers, the real warehouse and real dbt: what is done, told and kept to oneself."""

import json
import re
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from tests.integration.dagster.conftest import Platform
from tests.sandbox import STANDING_AT, free_port

DAY = "2026-01-13"


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Keys of the assets that the run has materialized."""
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """What the checks of the run have found."""
    return {
        f"{check.asset_key.to_user_string()}:{check.check_name}": check
        for check in result.get_asset_check_evaluations()
    }


def secrets(platform: Platform) -> list[str]:
    """Everything in the files of PSP_HOME that must never be told."""
    state = json.loads((platform.home / "sandbox.json").read_text())
    session = json.loads((platform.home / "payshack" / "session.json").read_text())
    hidden = [state["vima"]["api_key"], session["token"]]
    hidden += [state["payshack"][name] for name in ("password", "response_secret", "response_iv")]
    return [*hidden, platform.environment["PSP_DATABASE_URL"].split(":")[2].split("@")[0]]


def told(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    """Everything that the event log keeps of a run."""
    return "".join(dg.serialize_value(entry) for entry in instance.all_logs(result.run_id))


def feed(platform: Platform, instance: dg.DagsterInstance, source: str) -> dg.ExecuteInProcessResult:
    """A feed run of today's partition."""
    return platform.job(f"{source}_feed_job").execute_in_process(
        instance=instance, partition_key="2026-01-15", raise_on_error=False
    )


def counts(platform: Platform) -> list[tuple[Any, ...]]:
    """What the warehouse holds, so that a second pass can be compared."""
    return platform.query(
        "select (select count(*) from raw.vima_operations), (select count(*) from raw.payshack_payins),"
        " (select count(*) from raw.payshack_payouts), (select count(*) from marts.fct_transactions),"
        " (select max(changed_xid) from marts.fct_reconciliation)"
    )


def test_a_vima_feed_moves_rows_and_tells(platform: Platform, instance: dg.DagsterInstance) -> None:
    before = counts(platform)
    result = feed(platform, instance, "vima")
    assert result.success
    found = materialized(result)
    assert {"raw/vima_operations", "marts/fct_transactions", "marts/fct_reconciliation", "publish/freshness"} <= found
    assert not {name for name in found if name.startswith("reference/")}, "seeds change with a release only"
    assert evaluations(result) == {}
    assert counts(platform) == before, "a second pass over an unchanged source changes nothing"
    (raw,) = [event for event in result.get_asset_materialization_events() if "raw" in event.asset_key.path]
    metadata = raw.materialization.metadata
    assert metadata["rows_new"].value == 0
    assert metadata["mode"].value == "feed"
    assert metadata["watermark_payin"].value == STANDING_AT.timestamp()
    assert raw.partition == "2026-01-15"


def test_a_payshack_feed_shows_dbt_tests_and_our_looks_as_checks(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    result = feed(platform, instance, "payshack")
    assert result.success
    assert {"raw/payshack_payins", "raw/payshack_payouts", "raw/payshack_clients"} <= materialized(result)
    found = evaluations(result)
    assert found["marts/rpt_reconciliation_daily:rpt_reconciliation_daily__bridge_residual_is_zero"].passed
    assert found["raw/payshack_payins:source_not_null_raw_payshack_payins_record_id"].passed
    assert found["marts/rpt_source_health:watermark_is_recent_payshack_payin"].passed
    odd_on_purpose = re.compile("watermark_is_recent|keys_|words_are_known")
    assert all(check.passed for name, check in found.items() if not odd_on_purpose.search(name))
    for secret in secrets(platform):
        assert secret not in told(instance, result)


def test_a_window_reads_one_created_day_and_leaves_the_cursor_alone(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    cursors = platform.query("select * from raw.source_cursors")
    result = platform.job("backfill_job").execute_in_process(instance=instance, partition_key=DAY)
    assert materialized(result) == {"raw/vima_operations", "raw/payshack_payins", "raw/payshack_payouts"}
    for event in result.get_asset_materialization_events():
        assert event.partition == DAY
        assert event.materialization.metadata["mode"].value == "window"
        assert event.materialization.metadata["scope"].value == DAY
        assert event.materialization.metadata["rows_new"].value == 0
    assert platform.query("select * from raw.source_cursors") == cursors


def test_the_checks_see_a_late_watermark_and_a_missing_day(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey(["marts", "rpt_source_health"]), "watermark_is_recent_vima_payin"),
        dg.AssetCheckKey(dg.AssetKey(["marts", "rpt_metrics_daily"]), "no_missing_business_day_vima"),
        dg.AssetCheckKey(dg.AssetKey(["marts", "fct_reconciliation"]), "keys_are_present"),
    )
    job = dg.define_asset_job("only_checks", selection=selection)
    definitions = dg.Definitions(
        assets=platform.definitions.assets, asset_checks=platform.definitions.asset_checks, jobs=[job]
    )

    def look() -> dict[str, dg.AssetCheckEvaluation]:
        ran = definitions.resolve_job_def("only_checks").execute_in_process(instance=instance)
        return {name.split(":")[1]: check for name, check in evaluations(ran).items()}

    assert look()["watermark_is_recent_vima_payin"].passed

    monkeypatch.setenv("PSP_NOW", (STANDING_AT + timedelta(minutes=40)).isoformat())
    found = look()["watermark_is_recent_vima_payin"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "40 minutes ago" in str(found.description)

    monkeypatch.setenv("PSP_NOW", (STANDING_AT + timedelta(days=3)).isoformat())
    found = look()["watermark_is_recent_vima_payin"]
    assert found.severity is dg.AssetCheckSeverity.ERROR
    missing = look()["no_missing_business_day_vima"]
    assert not missing.passed
    assert missing.metadata["first_of_them"].value == ["2026-01-16", "2026-01-17"]


@pytest.fixture
def dead_provider(monkeypatch: pytest.MonkeyPatch) -> str:
    """Vima where nobody listens. Gives the key that is used."""
    key = "invented-key-of-a-dead-provider"
    monkeypatch.setenv("VIMA_BASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("VIMA_API_KEY", key)
    return key


def test_a_failed_run_gives_one_clear_message_without_secrets(
    platform: Platform, instance: dg.DagsterInstance, dead_provider: str
) -> None:
    result = feed(platform, instance, "vima")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "raw__vima_operations"
    message = failure.step_failure_data.user_failure_data
    assert message is not None
    assert "Vima does not answer" in str(message.description)
    assert "Fix: check that the provider is up" in str(message.description)
    for secret in (dead_provider, *secrets(platform)):
        assert secret not in told(instance, result)
    assert materialized(result) == set(), "nothing is told of marts that were not renewed"


def test_a_run_without_its_database_says_so(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSP_DATABASE_URL", f"postgresql://psp:invented-pass-9@127.0.0.1:{free_port()}/psp")
    result = platform.job("models_job").execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    failed = {event.step_key: event for event in result.all_events if event.is_step_failure}
    told_of = failed["models"].step_failure_data.user_failure_data
    assert told_of is not None
    assert str(told_of.description).startswith("PostgreSQL is not reachable")
    assert "invented-pass-9" not in told(instance, result)
