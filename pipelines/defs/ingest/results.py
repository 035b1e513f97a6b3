"""What a load did, as metadata of the raw assets."""

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from pipelines.loading.report import LoadReport


def load_metadata(report: "LoadReport", *, table: str) -> dict[str, Any]:
    """Metadata of one raw table. `rows_new` is the table's, the rest is the whole load's."""
    return {
        "dagster/table_name": f"raw.{table}",
        "rows_new": report.rows_by_table.get(table, 0),
        "rows_read": report.rows_read,
        "rows_quarantined": report.rows_quarantined,
        "pages": report.pages,
        "mode": report.mode,
        "scope": report.scope,
        "seconds": round(report.duration_seconds, 3),
        **{f"watermark_{flow}": dg.TimestampMetadataValue(at.timestamp()) for flow, at in report.watermarks.items()},
    }
