"""Run tags of the platform: how a raw asset is read, and for whom."""

MODE = "psp/mode"
"""`feed`: go on from the cursor (sensors, `psp sync`). Without it a raw asset reads the days of its partitions."""

FEED = "feed"

SOURCE = "psp/source"
"""The provider that a feed run reads, so that the UI can filter by it."""
