"""The code location: everything under defs/, with freshness policies. Loaded lazily; nothing connects to anything."""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from pipelines.defs.tags import MATERIALIZED

RENEWED = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=45), fail_window=timedelta(hours=2))
"""Feeds run at least every 15 minutes, with news or without: two missed ones are a warning."""

WATCHED = frozenset({"raw", "marts"})


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs and sensors of the platform."""
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # Definitions.map_asset_specs would say the same, but is a preview in 1.13 and warns.
    return dg.Definitions(
        assets=dg.map_asset_specs(with_freshness_policy, found.assets or []),
        asset_checks=found.asset_checks,
        jobs=found.jobs,
        sensors=found.sensors,
        schedules=found.schedules,
        # What people materialize in the UI, too: a process per step would cost seconds each.
        executor=dg.in_process_executor,
    )


def with_freshness_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The one policy, on everything that a feed renews; views, seeds and the loads' own books have none."""
    is_view = spec.tags.get(MATERIALIZED) == "view"  # as fresh as what it reads, and never written by a feed
    if spec.key.path[0] in WATCHED and spec.group_name != "ingest/bookkeeping" and not is_view:
        return spec.replace_attributes(freshness_policy=RENEWED)
    return spec
