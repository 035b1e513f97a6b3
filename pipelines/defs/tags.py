"""Run tags of the platform: how a raw asset is read, and for whom."""

MODE = "psp/mode"
"""`feed`: go on from the cursor (sensors, `psp sync`). Without it a raw asset reads the days of its partitions."""

FEED = "feed"

SWEEP = "sweep"
"""`psp/mode=sweep`: read the last PAYSHACK_SWEEP_DAYS again, each day once since the instant of SWEEP_SINCE."""

SWEEP_SINCE = "psp/sweep_since"

SOURCE = "psp/source"
"""The provider that a feed run reads, so that the UI can filter by it."""

ALL = "all"
"""The value of SOURCE for a run that reads every provider."""

PRIORITY = "dagster/priority"
"""Dagster's own tag: which of the queued runs starts first."""

BEFORE_BACKFILLS = "10"
"""Live data goes before history; a backfill's runs have the default priority, 0."""

MATERIALIZED = "psp/materialized"
"""How a model is kept: a view is as fresh as what it reads."""
