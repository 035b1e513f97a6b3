"""The jobs: a feed is load, then models, then publish, in one run and one process.

A feed run starts a minute: it runs in its own process without a process per step, which would cost seconds each.
`vima_feed_job` leaves the tests out, because they read whole tables and it runs every minute; `payshack_feed_job` and
`models_job` run them, every few minutes. `backfill_job` only loads: one run per day, and the models once behind it, by
`models_sensor` or `models_job`; so does `payshack_sweep_job`.
"""

import dagster as dg

from pipelines.defs.model.nightly import EQUALITY
from pipelines.defs.tags import ALL, BEFORE_BACKFILLS, FEED, MODE, PRIORITY, SOURCE

VIMA = dg.AssetSelection.assets(["raw", "vima_operations"])
PAYSHACK = dg.AssetSelection.groups("ingest/payshack")
RAW_CHECKS = dg.AssetSelection.checks_for_assets(
    ["raw", "vima_operations"], ["raw", "payshack_payins"], ["raw", "payshack_payouts"]
)
LAYERS = dg.AssetSelection.key_prefixes("reference", "staging", "intermediate", "marts", "marts_pii")
PUBLISH = dg.AssetSelection.key_prefixes("publish")

vima_feed_job = dg.define_asset_job(
    "vima_feed_job",
    selection=(VIMA | LAYERS | PUBLISH).without_checks(),
    executor_def=dg.in_process_executor,
    tags={SOURCE: "vima", MODE: FEED, PRIORITY: BEFORE_BACKFILLS},
    description="Vima from its cursor, then the models, then the announcement. Started by vima_feed_sensor.",
)

payshack_feed_job = dg.define_asset_job(
    "payshack_feed_job",
    selection=(PAYSHACK | LAYERS | PUBLISH) - EQUALITY,
    executor_def=dg.in_process_executor,
    tags={SOURCE: "payshack", MODE: FEED, PRIORITY: BEFORE_BACKFILLS},
    description="PayShack's look-back days and today, then models with tests. Started by payshack_feed_sensor.",
)

models_job = dg.define_asset_job(
    "models_job",
    selection=(LAYERS | PUBLISH | RAW_CHECKS) - EQUALITY,
    executor_def=dg.in_process_executor,
    tags={PRIORITY: BEFORE_BACKFILLS},
    description="Models with tests, then the announcement; loads nothing. Started by models_sensor when time moves on.",
)

backfill_job = dg.define_asset_job(
    "backfill_job",
    selection=(VIMA | PAYSHACK).without_checks(),
    executor_def=dg.in_process_executor,
    description="Reads UTC created days of both providers again. Launch it for a range of partitions.",
)

payshack_sweep_job = dg.define_asset_job(
    "payshack_sweep_job",
    selection=PAYSHACK.without_checks(),
    executor_def=dg.in_process_executor,
    description=(
        "Reads the last PAYSHACK_SWEEP_DAYS of both flows again, for refunds and chargebacks that come weeks later. "
        "Started by payshack_sweep_sensor at night, which goes on where a sweep was interrupted."
    ),
)

first_load_job = dg.define_asset_job(
    "first_load_job",
    selection=(VIMA | PAYSHACK | LAYERS | PUBLISH).without_checks(),
    executor_def=dg.in_process_executor,
    tags={SOURCE: ALL, MODE: FEED, PRIORITY: BEFORE_BACKFILLS},
    description=(
        "Both feeds, then the models once, then the announcement: the shortest way to marts that hold data. Run by "
        "`psp up` in a process of its own before the sensors begin; the sensors' runs bring the tests."
    ),
)
