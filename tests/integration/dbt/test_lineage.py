"""The way of docs/data/lineage.md, by its own queries: from a day's figure to the pages that it was read from."""

import json
import re
from decimal import Decimal
from pathlib import Path

from psycopg.rows import dict_row

from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "data" / "lineage.md"


def test_a_figure_leads_to_the_pages_that_it_was_read_from(loaded_settings: Settings) -> None:
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    rows_of, versions_of, payloads_of = (re.sub(r":'(\w+)'", r"%(\1)s", query) for query in queries)
    with connect(database_url(loaded_settings), role=TRANSFORMER) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        told = cursor.execute(
            "select business_date as day, project, flow, sum(vima_net) as net from marts.rpt_reconciliation_daily"
            " where flow = 'payin' group by 1, 2, 3 order by sum(matched_count) desc limit 1"
        ).fetchone()
        assert told
        rows = cursor.execute(rows_of.encode(), told).fetchall()
        versions = cursor.execute(versions_of.encode(), told).fetchall()
        payloads = cursor.execute(payloads_of.encode(), told).fetchall()
    assert sum((row["vima_effect"] for row in rows), Decimal(0)) == told["net"] > 0
    known = {version["version_id"]: version for version in versions}
    assert len(known) == len(versions)
    of_vima = {name for name, version in known.items() if version["source"] == "vima"}
    assert {row["version_id"] for row in payloads} == of_vima
    for row in payloads:
        version = known[row["version_id"]]
        assert (row["load_scope"], row["load_page"]) == (version["load_scope"], version["load_page"])
        assert version["source_txn_id"] in json.dumps(row["payload"])
