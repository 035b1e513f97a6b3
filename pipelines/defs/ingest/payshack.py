"""raw/payshack_*: every observed version of pay-ins, pay-outs, clients, resellers and service providers.

    sensor -> feed (first time the whole history, then look-back days and today; directories) -> raw.payshack_*
    person -> window (one UTC created day of both flows; no directories)                      -> raw.payshack_*
    night  -> sweep  (the last PAYSHACK_SWEEP_DAYS of both flows: very late refunds)          -> raw.payshack_*

One step for all five, because one browser session reads them.
"""

from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.ingest.partitions import CREATED_DAYS, ONE_DAY_PER_RUN
from pipelines.defs.ingest.results import load_metadata
from pipelines.defs.model.translator import DATA_OWNER
from pipelines.defs.tags import FEED, MODE, SWEEP, SWEEP_SINCE

POOL = "payshack_api"

FLOWS = {
    "payshack_payins": "One row per observed version of a PayShack pay-in (txnId, content hash); append-only.",
    "payshack_payouts": (
        "One row per observed version of a PayShack pay-out (txnId or transactionId, content hash); append-only."
    ),
}
DIRECTORIES = {
    "payshack_clients": "One row per observed version of a PayShack client.",
    "payshack_resellers": "One row per observed version of a PayShack reseller.",
    "payshack_service_providers": "One row per observed version of a PayShack service provider.",
}


def _spec(table: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=["raw", table],
        description=description,
        group_name="ingest/payshack",
        owners=[DATA_OWNER],
        kinds={"playwright", "dlt", "postgres"},
        tags={"layer": "raw", "pii": "yes" if table in FLOWS else "no"},
        # A window reads created days; a directory has none, so it is left as it is.
        skippable=table in DIRECTORIES,
    )


@dg.multi_asset(
    name="payshack",
    specs=[_spec(table, description) for table, description in (FLOWS | DIRECTORIES).items()],
    partitions_def=CREATED_DAYS,
    backfill_policy=ONE_DAY_PER_RUN,
    pool=POOL,
)
def payshack(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Feed, window or sweep, by the tags of the run."""
    # Imported here: the code location and the sensors do without the loader's 1 s of imports.
    from pipelines.loading.payshack import load_payshack_feed, load_payshack_sweep, load_payshack_window

    with told_plainly(context):
        settings = load_settings()
        mode = context.run.tags.get(MODE)
        if mode == SWEEP:
            report = load_payshack_sweep(settings, since=datetime.fromisoformat(context.run.tags[SWEEP_SINCE]))
            tables = list(FLOWS)
        elif mode == FEED:
            report = load_payshack_feed(settings)
            tables = [*FLOWS, *DIRECTORIES]
        else:
            report = load_payshack_window(settings, context.partition_time_window.start.date())
            tables = list(FLOWS)
        context.log.info(f"PayShack {report.mode}: {report.rows_new} new of {report.rows_read} rows read.")
        for table in tables:
            yield dg.MaterializeResult(asset_key=["raw", table], metadata=load_metadata(report, table=table))
