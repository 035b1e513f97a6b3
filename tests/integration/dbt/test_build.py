"""The whole project as CI builds it: seeds, models, unit tests and data tests on a fresh warehouse."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
from tests.integration.dbt.conftest import Warehouse
from tests.integration.dbt.worlds import World, insert_log

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
MISSAID = {
    "fct_movements": "amount is numeric and should be integer",
    "rpt_failures": "bank is missing and should be text",
    "rpt_source_health": "lag_seconds is numeric and should be no column",
}
"""What is said of another type, a column too many and one too few, in each of the three ways to build a mart."""


def test_everything_builds_and_every_test_passes(dbt_warehouse: Warehouse) -> None:
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, World(7, start=NOW - timedelta(days=3), length=timedelta(days=2)).log)
    outcome = dbt_warehouse.invoke(NOW, ["build"])
    failed = [
        f"{result.node.name}: {result.message}"
        for result in outcome.result or []
        if result.status not in ("success", "pass", "no-op")
    ]
    assert not failed, "\n".join(failed)
    assert outcome.success, outcome.exception
    kinds = Counter(str(result.node.resource_type.value) for result in outcome.result)
    assert kinds["unit_test"] >= 56
    assert kinds["test"] >= 114


def test_a_build_without_data_is_sound_and_its_contracts_are_kept(dbt_warehouse: Warehouse) -> None:
    outcome = dbt_warehouse.invoke(NOW, ["build", "--exclude-resource-type", "unit_test"])
    assert outcome.success, [result.message for result in outcome.result or [] if result.status != "pass"]
    assert dbt_warehouse.marts()["fct_reconciliation"] == []
    assert len(dbt_warehouse.marts()["rpt_source_health"]) == 4
    before = dbt_warehouse.marts()
    contracts = dbt_warehouse.project.as_manifest()
    columns = {mart: contracts.nodes[f"model.psp.{mart}"].columns for mart in MISSAID}
    columns["fct_movements"]["amount"] = columns["fct_movements"]["amount"].replace(data_type="integer")
    columns["rpt_failures"]["bank"] = columns["rpt_failures"]["project"].replace(name="bank")
    del columns["rpt_source_health"]["lag_seconds"]
    for mart, said in MISSAID.items():
        refused = dbt_warehouse.invoke(NOW, ["run", "--full-refresh", "--select", mart], contracts)
        assert said in str([result.message for result in refused.result])
    assert dbt_warehouse.marts() == before


def test_a_step_rebuilt_alone_cannot_make_the_mart_forget(dbt_warehouse: Warehouse) -> None:
    world = World(8, start=NOW - timedelta(days=3), length=timedelta(days=2))
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, world.log[::2])
    dbt_warehouse.models(NOW)
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, world.log[1::2])
    before = dbt_warehouse.marts()["fct_reconciliation"]
    for step in ("int_transactions__refreshed", "int_transactions__current", "int_reconciliation__keys_changed"):
        assert dbt_warehouse.invoke(NOW, ["run", "--select", step]).success
    refused = dbt_warehouse.invoke(NOW, ["run", "--select", "fct_reconciliation"])
    assert not refused.success
    assert "build them together: +fct_reconciliation" in str([result.message for result in refused.result])
    assert dbt_warehouse.marts()["fct_reconciliation"] == before
    dbt_warehouse.changes(NOW)
    kept = dbt_warehouse.marts()
    assert kept["fct_reconciliation"] != before
    dbt_warehouse.rebuild(NOW)
    assert kept == dbt_warehouse.marts()
