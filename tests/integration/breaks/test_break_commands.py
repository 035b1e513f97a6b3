"""`psp breaks` as people run it: a process of its own, over a modelled warehouse."""

import json
from typing import Any

from tests.integration.breaks.conftest import Orders
from tests.integration.cli.conftest import Answer, run_psp

STATEMENT = """
insert into raw.bank_statements (
    file_hash, statement_number, file_name, file_format, account, currency, statement_name, first_day, last_day,
    line_count, observed_at
) values ('f', 1, 'f', 'csv', '000000000001', 'INR', 's', '2026-01-15', '2026-01-20', 0, now())
"""


def test_the_work_list_is_read_worked_and_verified(orders: Orders, tmp_path: Any) -> None:
    orders.vima("low", "in_process")
    orders.payshack("low", "Failed")
    orders.vima("critical", "success", 50_000)
    orders.payshack("critical", "Failed", 50_000)
    # A payment of which the bank, whose statements reach past it, has nothing.
    orders.vima("unbanked", "success", 900)
    orders.payshack("unbanked", "Success", 900)
    orders.warehouse.query(STATEMENT)
    orders.run(20)
    orders.warehouse.changes(orders.now, "+int_breaks__transitions")
    environment = {
        "PSP_DATABASE_URL": orders.warehouse.url,
        "PSP_HOME": str(tmp_path),
        "PSP_NOW": orders.now.isoformat(),
    }

    def psp(*arguments: str) -> Answer:
        return run_psp("breaks", *arguments, environment=environment)

    listed = json.loads(psp("list", "--json").out)
    assert listed["found"] == 3
    assert [row["order_key"] for row in listed["breaks"]] == ["critical", "unbanked", "low"]
    break_id, unbanked, other = (row["break_id"] for row in listed["breaks"])
    assert listed["breaks"][0]["value_at_risk"] == "50000"
    assert break_id in psp("list", "--severity", "critical").out
    of_the_bank = psp("list", "--reason", "missing_bank").out
    assert unbanked in of_the_bank
    assert break_id not in of_the_bank

    acted = psp("write-off", break_id, other, "nobody-1", "--code", "goodwill", "-m", "gone", "--as", "asha", "--json")
    assert acted.code == 1
    rows = json.loads(acted.out)["rows"]
    assert [row["ok"] for row in rows] == [True, True, False]
    assert rows[0]["break"]["proposal"] == "write_off"
    assert rows[1]["break"]["state"] == "written_off"
    assert rows[2]["kind"] == "UnknownBreak"

    psp("approve", break_id, "--as", "asha").assert_one_error("may not approve", "somebody else")
    psp("approve", break_id, "--as", "ravi", "--event", "1").assert_one_error("has moved on", "look at it again")
    assert psp("approve", break_id, "--as", "ravi").code == 0
    shown = json.loads(psp("show", break_id, "--json").out)
    assert (shown["break"]["state"], shown["break"]["value_at_risk"]) == ("written_off", "0")
    assert [event["actor"] for event in shown["events"]] == ["system", "asha", "ravi"]
    decided = psp("explain", unbanked, "--code", "settled_elsewhere", "-m", "on the other account", "--as", "asha")
    assert decided.code == 0
    shown = json.loads(psp("show", unbanked, "--json").out)["break"]
    assert (shown["state"], shown["movement_id"], shown["exposure"]) == (
        "explained",
        "payshack:payin:punbanked:payment",
        "900",
    )
    verified = json.loads(psp("verify", "--json").out)
    assert (verified["ok"], verified["events"]) == (True, 7)
    psp("verify", "--head", "1:" + "0" * 64).assert_one_error("is not in the chain")
    assert psp("ack", break_id, other, "--event", "1").code == 2
