"""raw/* that no asset of ours materializes by itself: what every load writes beside its rows. Lineage needs them."""

import dagster as dg

from pipelines.defs.model.translator import DATA_OWNER

TRANSACTIONS = [["raw", "vima_operations"], ["raw", "payshack_payins"], ["raw", "payshack_payouts"]]
CLIENTS = [["raw", "payshack_clients"]]
TABLES = {
    "quarantine": "One row per record that broke the contract, with the reason; the rest of its page was loaded.",
    "payshack_balance_snapshots": "One row per PayShack client and reading of the directory, with its balance.",
    "source_watermarks": "One row per source and flow: instant up to which the source is known complete.",
    "window_passes": "One row per source, stream and UTC day: its last complete read.",
    "load_runs": "One row per load attempt: how it went, and how much it brought.",
}

bookkeeping = [
    dg.AssetSpec(
        key=["raw", table],
        deps=CLIENTS if table == "payshack_balance_snapshots" else TRANSACTIONS,
        description=description,
        group_name="ingest/bookkeeping",
        owners=[DATA_OWNER],
        kinds={"postgres"},
        tags={"layer": "raw", "pii": "yes" if table == "quarantine" else "no"},
    )
    for table, description in TABLES.items()
]
