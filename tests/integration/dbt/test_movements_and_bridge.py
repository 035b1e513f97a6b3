"""Movements and bridges over many invented worlds at once, against a reading of the rules in plain Python."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.core.postgres import connect
from tests.integration.dbt.conftest import Warehouse
from tests.integration.dbt.worlds import LogRow, World, insert_log

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
WORLDS = 25
FINALITY = {"P": 1, "U": 1, "F": 2, "S": 3, "T": 3, "C": 4, "R": 4}
VIMA = {"success": "S", "fail": "F", "in_process": "P", "user_input_required": "P"}
PAYIN = {"success": "S", "failed": "F", "initiated": "P", "pending": "P", "incomplete": "P"}
PAYIN |= {"refunded": "R", "cb_refunded": "C", "tampered": "T"}
PAYOUT = {"success": "S", "failed": "F", "pending": "P", "returned": "R"}


def many_worlds() -> list[LogRow]:
    """Worlds that share nothing: each has keys and record ids of its own."""
    rows = []
    for seed in range(WORLDS):
        for row in World(100 + seed, start=NOW - timedelta(days=3), length=timedelta(days=2), records=200).log:
            key = row.values["order_key"]
            own = {"record_id": f"{seed}-{row.values['record_id']}", "order_key": key and f"{seed}-{key}"}
            rows.append(LogRow(table=row.table, observed_at=row.observed_at, values=row.values | own))
    return rows


def status_class(table: str, payload: dict[str, Any]) -> str:
    if table == "vima_operations":
        payment, current = payload.get("payment_status"), payload["current_status"]
        one, other = VIMA.get(payment, "U") if payment else None, VIMA.get(current, "U")
        return "U" if {one, other} == {"S", "F"} else one or other
    words = PAYOUT if table == "payshack_payouts" else PAYIN
    found = words.get(payload["txnStatus"].lower(), "U")
    return "R" if found == "S" and (payload["refundAmount"] or 0) > 0 else found


def amount_of(table: str, payload: dict[str, Any], found: str) -> Decimal | None:
    if table == "vima_operations":
        if "complete_amount" in payload:
            return Decimal(str(payload["complete_amount"]))
        return Decimal(payload["create_params"]["params"]["payment"]["amount"]["value"]) / 100
    if table == "payshack_payins" and found in "SRC" and payload["paidAmount"] is not None:
        return Decimal(str(payload["paidAmount"]))
    return Decimal(str(payload["amount"]))


def nets(rows: list[LogRow]) -> dict[str, Decimal]:
    """What is left of each record that stands as paid: by its most final, then newest version."""
    versions = defaultdict(list)
    for row in rows:
        payload = json.loads(row.values["payload"])
        found = status_class(row.table, payload)
        flow = row.table.removeprefix("payshack_").removesuffix("s")
        name = "vima:" if row.table == "vima_operations" else f"payshack:{flow}:"
        updated = row.values["source_updated_at"] or row.values["source_created_at"]
        order = (
            *(FINALITY[found], updated is not None, updated or NOW, row.values["source_order"]),
            *(row.observed_at, row.values["content_hash"]),
        )
        versions[name + row.values["record_id"]].append((order, found, payload, row.table))
    kept = {}
    for name, found_versions in versions.items():
        _, found, payload, table = max(found_versions, key=lambda version: version[0])
        amount = amount_of(table, payload, found)
        if found not in "SRC" or amount is None:
            continue
        stated = payload.get("refundAmount")
        back = {"S": Decimal(0), "C": amount}.get(found, amount if stated is None else Decimal(stated))
        is_out = table == "payshack_payouts" or payload.get("create_params", {}).get("method") == "payment.out"
        kept[name] = (back - amount) if is_out else (amount - back)
    return kept


def test_every_rupee_of_many_worlds_has_one_cause(dbt_warehouse: Warehouse) -> None:
    rows = many_worlds()
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, rows)
        connection.execute(
            "insert into raw.source_watermarks (source, flow, watermark, updated_at) select source, flow, %s, now()"
            " from unnest(array['vima', 'payshack']) as source, unnest(array['payin', 'payout']) as flow",
            (NOW - timedelta(hours=20),),
        )
    dbt_warehouse.models(NOW)
    found = dbt_warehouse.query(
        "select transaction_id, sum(amount) as net, count(*) filter (where kind = 'payment') as payments"
        " from marts.fct_movements group by transaction_id"
    )
    assert {row["transaction_id"]: row["net"] for row in found} == nets(rows)
    assert {row["payments"] for row in found} == {1}
    lines = dbt_warehouse.query("select cause, amount from marts.rpt_bridge_daily")
    assert [line for line in lines if line["cause"] == "residual" and line["amount"] != 0] == []
    named = {line["cause"] for line in lines}
    assert named >= {
        *("duplicate_success", "key_collision", "no_key", "missing_vima", "missing_payshack", "currency_mismatch"),
        *("over_refund", "underpaid", "overpaid", "credited_without_money", "late_success"),
        *("status_lag", "refund_not_reflected", "chargeback_not_reflected", "suspect", "unmapped_status"),
        "not_yet_comparable",
    }, named
    outcome = dbt_warehouse.invoke(
        NOW, ["test", "--exclude-resource-type", "unit_test", "--select", "fct_movements", "rpt_bridge_daily"]
    )
    assert outcome.success, [result.message for result in outcome.result if result.status != "pass"]
