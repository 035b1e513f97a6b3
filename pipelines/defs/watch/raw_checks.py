"""Asset checks of the raw log itself: is it all there, and do the records still have the shape that the models know?

    raw.window_passes  source_total_equals_raw   ids in the source's own total against the log, for days that are over
    newest records     schema_has_not_drifted    fields that are new, gone, or of another type than before

Both block nothing: what is lost is told as an error, what only asks for a look as a warning.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.watch.looking import Look, Looks, checks_of, warning

READ_WITHIN = timedelta(hours=26)
"""Days read in the last day are counted: each look-back and the nightly sweep are judged once, old passes not again."""

TABLES = ("vima_operations", "payshack_payins", "payshack_payouts")
NAMED = 20


def _totals(table: str) -> Look:
    def look(settings: Settings) -> dict[str, Any]:
        from pipelines.loading.totals import closed_days

        days = closed_days(settings, table, read_since=settings.clock() - READ_WITHIN)
        lost = {day.day.isoformat(): day.lost for day in days if day.lost}
        unlisted = {day.day.isoformat(): day.unlisted for day in days if day.unlisted}
        metadata: dict[str, Any] = {
            "days_counted": len(days),
            "source_total": sum(day.source_total for day in days),
            "raw_ids": sum(day.raw_ids for day in days),
            "lost_by_day": dict(list(lost.items())[:NAMED]),
            "unlisted_by_day": dict(list(unlisted.items())[:NAMED]),
        }
        if lost:
            told = f"raw.{table} lacks {sum(lost.values())} records of {len(lost)} closed days; read these days again."
            return {"passed": False, "severity": dg.AssetCheckSeverity.ERROR, "description": told, "metadata": metadata}
        if unlisted:
            told = (
                f"{sum(unlisted.values())} records of {len(unlisted)} closed days are in raw.{table} but no longer in "
                "the source's list: it has removed or re-dated them, or its days are not UTC."
            )
            return {**warning(told), "metadata": metadata}
        return {"passed": True, "metadata": metadata}

    return look


def _drift(table: str) -> Look:
    def look(settings: Settings) -> dict[str, Any]:
        from pipelines.loading.drift import schema_drift

        report = schema_drift(settings, table)
        retyped = [f"{field.path}: {'/'.join(field.before)} -> {'/'.join(field.now)}" for field in report.retyped]
        metadata: dict[str, Any] = {
            "recent_rows": report.recent_rows,
            "baseline_rows": report.baseline_rows,
            "new_fields": list(report.new),
            "vanished_fields": list(report.vanished),
            "retyped_fields": retyped,
        }
        if not report.has_drift:
            return {"passed": True, "metadata": metadata}
        told = (
            f"Newest records of raw.{table}: {len(report.new)} new, {len(report.vanished)} vanished and {len(retyped)} "
            "retyped fields; see whether the contract or a model should know of them."
        )
        return {**warning(told), "metadata": metadata}

    return look


def _looks() -> Looks:
    looks: dict[dg.AssetCheckKey, tuple[str, Look]] = {}
    for table in TABLES:
        asset = dg.AssetKey(["raw", table])
        looks[dg.AssetCheckKey(asset, "source_total_equals_raw")] = (
            "Every closed day read in the last day is in the log with as many ids as the source counts.",
            _totals(table),
        )
        looks[dg.AssetCheckKey(asset, "schema_has_not_drifted")] = (
            "The newest records have the fields and types of those before them.",
            _drift(table),
        )
    return looks


LOOKS = _looks()

watch_raw_log = checks_of("watch_raw_log", LOOKS)
