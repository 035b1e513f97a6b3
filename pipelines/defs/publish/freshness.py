"""publish/freshness: after the models, whoever listens is told how fresh the marts are.

marts.* -> NOTIFY psp_freshness -> sidecar -> /ws/updates
"""

import dagster as dg

from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.model.translator import DATA_OWNER


@dg.asset(
    key=["publish", "freshness"],
    deps=[["marts", "rpt_source_health"], ["marts", "fct_reconciliation"], ["marts", "rpt_reconciliation_daily"]],
    group_name="publish",
    owners=[DATA_OWNER],
    kinds={"postgres", "python"},
    tags={"layer": "publish"},
    description=(
        "One announcement per source and flow that the marts are new: rows, watermark and lag, sent with NOTIFY on "
        "psp_freshness; the sidecar passes it on to its WebSocket."
    ),
)
def freshness(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Announce, and keep what was announced as metadata."""
    from pipelines.loading.freshness import announce_freshness

    with told_plainly(context):
        sent = announce_freshness(load_settings())
        return dg.MaterializeResult(
            metadata={f"lag_seconds_{item.source}_{item.flow}": item.lag_seconds for item in sent}
        )
