"""metabase/*, exports/*: what lies downstream of the marts: dashboards, and finance's files at their exact time.

marts.* -> metabase/<dashboard>            known to Dagster for the lineage; drawn by Metabase, or by the sidecar
        -> exports/<name> -> PSP_HOME/exports/<name>_<day>.csv, .xlsx    with a check: as many rows as the mart has
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.dashboards.deploy import ScheduledExport, load_deploy
from pipelines.dashboards.entities import Content
from pipelines.dashboards.files import load_content
from pipelines.dashboards.lineage import marts_of, marts_of_card, owner_of
from pipelines.defs.failures import told_plainly
from pipelines.defs.model.translator import DATA_OWNER

CHECK = "has_every_row_of_the_mart"


@dg.definitions
def dashboard_definitions() -> dg.Definitions:
    """Assets, a job and a schedule per export, from the dashboard files as they are now."""
    content, deploy = load_content(), load_deploy()
    exported = [_export(content, export) for export in deploy.exports]
    jobs = {export.name: _job(export) for export in deploy.exports}
    return dg.Definitions(
        assets=[*_dashboards(content), *exported],
        jobs=list(jobs.values()),
        schedules=[_schedule(export, jobs[export.name]) for export in deploy.exports],
    )


def _dashboards(content: Content) -> Iterator[dg.AssetSpec]:
    for board in content.ordered():
        yield dg.AssetSpec(
            key=["metabase", board.slug],
            deps=[["marts", mart] for mart in marts_of(content, board)],
            group_name="dashboards",
            owners=[owner_of(content, board)],
            kinds={"metabase"},
            tags={"layer": "publish"},
            description=f"Dashboard {board.name}: {board.description} Its files are in dashboards/.",
        )


def _export(content: Content, export: ScheduledExport) -> dg.AssetsDefinition:
    card = next(item for item in content.cards.values() if item.path.stem == export.card)

    @dg.asset(
        key=["exports", export.name],
        deps=[["marts", mart] for mart in sorted({*marts_of_card(card), export.counted_by})],
        group_name="publish",
        owners=[DATA_OWNER],
        kinds={"csv", "xlsx", "python"},
        tags={"layer": "publish"},
        check_specs=[dg.AssetCheckSpec(CHECK, asset=["exports", export.name], description=_CHECK_TOLD)],
        description=f"{export.description} Files in PSP_HOME/exports, made by the schedule {export.name}_schedule.",
    )
    def write(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Write the files, and compare their rows with the mart's."""
        # Heavy: workbooks.
        from pipelines.dashboards.exports import write_export

        with told_plainly(context):
            settings = load_settings()
            written = write_export(settings, content, export, settings.psp_home / "exports")
        complete = written.rows == written.rows_in_mart
        metadata = {"dagster/row_count": written.rows, "files": [str(path) for path in written.files]}
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                dg.AssetCheckResult(
                    check_name=CHECK,
                    passed=complete,
                    severity=dg.AssetCheckSeverity.ERROR,
                    metadata={"rows": written.rows, "rows_in_mart": written.rows_in_mart},
                    description=None if complete else "The file and the mart differ; export again before it is booked.",
                )
            ],
        )

    return write


_CHECK_TOLD = "The file has exactly as many rows as the mart has for these days, counted in the same snapshot."


def _job(export: ScheduledExport) -> Any:
    return dg.define_asset_job(
        f"{export.name}_job",
        selection=dg.AssetSelection.assets(["exports", export.name]),
        executor_def=dg.in_process_executor,
        description=f"{export.description} Started by {export.name}_schedule.",
    )


def _schedule(export: ScheduledExport, job: Any) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{export.name}_schedule",
        job=job,
        cron_schedule=export.cron,
        execution_timezone=load_settings().psp_business_timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{export.description} At its exact time in the business time zone.",
    )
