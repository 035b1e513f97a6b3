"""Once a night: is what the models have kept up to date what a full rebuild would say?

    nightly_equality_job -> marts/fct_reconciliation, fct_transactions, the bank's, the balances': equals_a_full_rebuild

At 03:10 Indian time, when least is paid. It needs no second database: see equality. A difference is an error, since all
numbers of the marts stand on these; the metadata of the check names the rows.
"""

from collections.abc import Iterator

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.tags import BEFORE_BACKFILLS, PRIORITY

CHECK = "equals_a_full_rebuild"
ASSETS = {
    model: dg.AssetKey([schema, model])
    for schema, model in (
        ("marts", "fct_reconciliation"),
        ("marts", "fct_transactions"),
        ("marts", "fct_bank_lines"),
        ("marts", "fct_bank_settlements"),
        ("marts", "rpt_bank_bridge_daily"),
        ("intermediate", "int_balances__snapshots"),
        ("marts", "rpt_balance_identity_daily"),
    )
}
EQUALITY = dg.AssetSelection.checks(*(dg.AssetCheckKey(asset, CHECK) for asset in ASSETS.values()))


@dg.multi_asset_check(
    name="nightly_equality",
    specs=[
        dg.AssetCheckSpec(
            name=CHECK,
            asset=asset,
            description="A full rebuild beside it, at the same instant, gives the same rows in every column.",
        )
        for asset in ASSETS.values()
    ],
    can_subset=False,
)
def nightly_equality(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """All of them from one rebuild."""
    # Imported late, like the runner: psycopg and dbt are for processes that run models.
    from pipelines.defs.model.equality import compare_with_rebuild
    from pipelines.defs.model.manifest import parsed_project

    with told_plainly(context):
        settings = load_settings()
        for found in compare_with_rebuild(settings, parsed_project(settings)):
            yield dg.AssetCheckResult(
                asset_key=ASSETS[found.model],
                check_name=CHECK,
                passed=found.different == 0,
                severity=dg.AssetCheckSeverity.ERROR,
                description=(
                    f"{found.compared} rows compared, {found.moved} left out because they moved meanwhile, "
                    f"{found.different} differ from a rebuild."
                ),
                metadata={
                    "rows_compared": found.compared,
                    "rows_moved": found.moved,
                    "rows_different": found.different,
                    "first_of_them": found.examples,
                },
            )


nightly_equality_job = dg.define_asset_job(
    "nightly_equality_job",
    selection=EQUALITY,
    executor_def=dg.in_process_executor,
    tags={PRIORITY: BEFORE_BACKFILLS},
    description="Compares the incremental state of the models with a full rebuild beside it. Every night.",
)

nightly_equality_schedule = dg.ScheduleDefinition(
    name="nightly_equality_schedule",
    job=nightly_equality_job,
    cron_schedule="10 3 * * *",
    execution_timezone=load_settings().psp_business_timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="03:10 of the business zone, every night.",
)
