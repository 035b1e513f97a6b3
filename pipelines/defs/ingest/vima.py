"""raw/vima_operations: every observed version of every Vima operation.

sensor -> feed (update cursor: all that is new or changed, whatever its date) -> raw.vima_operations
person -> window (one UTC created day)                                        -> raw.vima_operations
"""

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.ingest.partitions import CREATED_DAYS, ONE_DAY_PER_RUN
from pipelines.defs.ingest.results import load_metadata
from pipelines.defs.model.translator import DATA_OWNER
from pipelines.defs.tags import FEED, MODE

TABLE = "vima_operations"
POOL = "vima_api"


@dg.asset(
    key=["raw", TABLE],
    partitions_def=CREATED_DAYS,
    backfill_policy=ONE_DAY_PER_RUN,
    pool=POOL,
    group_name="ingest/vima",
    owners=[DATA_OWNER],
    kinds={"dlt", "postgres", "python"},
    tags={"layer": "raw", "pii": "yes"},
    description=(
        "One row per observed version of a Vima operation (operation_id, content hash); append-only. Partition: UTC "
        "created day. The sensor's feed goes on from the update cursor and brings late changes of any day; "
        "materializing a partition by hand reads that created day again and leaves the cursor alone."
    ),
)
def vima_operations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Feed or window, by the tag of the run."""
    # Imported here: the code location and the sensors do without the loader's 1 s of imports.
    from pipelines.loading.vima import load_vima_feed, load_vima_window

    with told_plainly(context):
        settings = load_settings()
        if context.run.tags.get(MODE) == FEED:
            report = load_vima_feed(settings)
        else:
            report = load_vima_window(settings, context.partition_time_window.start.date())
        context.log.info(f"Vima {report.mode}: {report.rows_new} new of {report.rows_read} rows read.")
        return dg.MaterializeResult(metadata=load_metadata(report, table=TABLE))
