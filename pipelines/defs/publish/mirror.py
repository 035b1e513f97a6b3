"""exports/mirror: the marts as Parquet and DuckDB, every hour, only what has changed.

marts.* -> PSP_HOME/mirror
"""

from dataclasses import asdict

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.model.translator import DATA_OWNER

MARTS = ("fct_transactions", "fct_transaction_versions", "fct_reconciliation", "rpt_metrics_daily", "rpt_source_health")


@dg.asset(
    key=["exports", "mirror"],
    deps=[["marts", name] for name in MARTS],
    group_name="publish",
    owners=[DATA_OWNER],
    kinds={"parquet", "duckdb", "python"},
    tags={"layer": "publish"},
    description=(
        "Every relation of schema marts as Parquet, one file per business date, and a DuckDB database with a view per "
        "mart over them, in PSP_HOME/mirror. Only days that have changed are written. The same as `psp mirror`."
    ),
)
def mirror(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Refresh it, and keep what was written as metadata."""
    # Heavy: Arrow and DuckDB.
    from pipelines.mirror.refresh import refresh_mirror

    with told_plainly(context):
        report = asdict(refresh_mirror(load_settings()))
        return dg.MaterializeResult(metadata=report | {"dagster/row_count": report["rows"]})


mirror_job = dg.define_asset_job(
    "mirror_job",
    selection=dg.AssetSelection.assets(["exports", "mirror"]),
    executor_def=dg.in_process_executor,
    description="The marts as Parquet and DuckDB. Started by mirror_schedule.",
)

mirror_schedule = dg.ScheduleDefinition(
    name="mirror_schedule",
    job=mirror_job,
    cron_schedule="25 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, off the full hour, when others run.",
)
