"""closing/*, and the bank's part of raw/*: what people bring and sign. Provisional closes come by themselves at 06:00.

    06:00 of the business zone -> provisional_close_schedule -> provisional closes of the days that have none

A final close is a person's signature (`psp close --final`), so no schedule makes one.
"""

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.model.translator import DATA_OWNER, FINANCE_OWNER

brought = [
    dg.AssetSpec(
        key=["raw", table],
        description=description,
        group_name="ingest/bookkeeping",
        owners=[DATA_OWNER],
        kinds={"postgres"},
        tags={"layer": "raw", "pii": "yes"},
    )
    for table, description in {
        "bank_statements": "One row per statement of a bank file, brought by `psp bank load`.",
        "bank_lines": "One row per booked line of an account, whatever files hold it.",
    }.items()
] + [
    dg.AssetSpec(
        key=["closing", "adjustments"],
        description="One row per change of a row after its day's final close; written by each run of the models.",
        group_name="closing",
        owners=[FINANCE_OWNER],
        kinds={"postgres"},
        tags={"layer": "closing"},
    )
]


@dg.asset(
    key=["closing", "day_closes"],
    group_name="closing",
    owners=[FINANCE_OWNER],
    kinds={"postgres", "dbt"},
    tags={"layer": "closing"},
    description="One row per signed close of a business date. A run makes the provisional closes that are missing.",
)
def day_closes(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Close provisionally; a day that is refused does not stop the others, and fails the run in the end."""
    # Heavy: dbt.
    from pipelines.core.errors import PlatformError
    from pipelines.core.runtime import database_url
    from pipelines.defs.model.closing import close_day, days_to_close

    with told_plainly(context):
        settings = load_settings()
        url = database_url(settings)
        refused: list[PlatformError] = []
        closed: list[str] = []
        for day in days_to_close(settings, url, "provisional"):
            try:
                close_day(settings, url, day=day, kind="provisional", by="schedule")
                closed.append(day.isoformat())
            except PlatformError as error:
                context.log.error(str(error))
                refused.append(error)
        if refused:
            raise refused[0]
        return dg.MaterializeResult(metadata={"closed": ", ".join(closed) or "nothing to close"})


provisional_close_job = dg.define_asset_job(
    "provisional_close_job",
    selection=dg.AssetSelection.assets(["closing", "day_closes"]),
    executor_def=dg.in_process_executor,
    description="Provisional closes of the days that have none. Started at 06:00 of the business zone.",
)

provisional_close_schedule = dg.ScheduleDefinition(
    name="provisional_close_schedule",
    job=provisional_close_job,
    cron_schedule="0 6 * * *",
    execution_timezone=load_settings().psp_business_timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 06:00 of the business zone, the hour of the provisional close.",
)
