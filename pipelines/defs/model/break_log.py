"""breaks/*: the log of breaks and what folds out of it, which models read and no model rebuilds. Lineage names them.

Written by int_breaks__transitions in its own transaction and by people; a dependency on it would be a circle.
"""

import dagster as dg

from pipelines.defs.model.translator import FINANCE_OWNER

TABLES = {
    "events": "One row per event of a break, append-only, each with the hash of the one before it.",
    "state": "One row per break, the fold of its events, written with them.",
    "clock": "One row: the instant for which the last model run looked at the breaks.",
}

break_log = [
    dg.AssetSpec(
        key=["breaks", table],
        description=description,
        group_name="reconciliation",
        owners=[FINANCE_OWNER],
        kinds={"postgres"},
        tags={"layer": "breaks"},
    )
    for table, description in TABLES.items()
]
