"""The balance identity (R9): every reading counts, what moved no more is forgotten, and what is left over is told."""

from datetime import timedelta
from typing import Any

import dagster as dg

from pipelines.core.postgres import connect
from pipelines.defs.watch.balance_checks import LOOKS
from tests.integration.breaks.conftest import START, Orders
from tests.integration.dbt.worlds import insert_reading

DAY = 24 * 60
IDENTITY = "marts/rpt_balance_identity_daily"
RESIDUALS, UNREAD = (IDENTITY, "balances_follow_from_movements"), (IDENTITY, "balances_are_read")
READ = ("int_balances__snapshots", "rpt_balance_identity_daily")


class Directory:
    """What PayShack says of its clients, reading by reading, as the loader keeps it."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def read(self, day: float, balances: dict[str, float], *, names: dict[str, str] | None = None) -> None:
        """One reading, so many days after START. A client goes by its id where no name is given."""
        with connect(self._orders.warehouse.url) as connection:
            for client, balance in balances.items():
                name = (names or {}).get(client, client)
                insert_reading(connection, client, name, balance, START + timedelta(days=day))


def on(orders: Orders, day: float) -> None:
    orders.minute = day * DAY


def run(orders: Orders, day: float) -> None:
    on(orders, day)
    orders.warehouse.changes(orders.now, "+rpt_balance_identity_daily")


def told(orders: Orders) -> dict[str, list[tuple[Any, ...]]]:
    """Per client: day since START, opening, pay-ins, pay-outs, closing and residual of each period."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in orders.warehouse.query(
        "select * from marts.rpt_balance_identity_daily order by merchant, business_date"
    ):
        assert row["is_alert"] == (row["residual"] != 0)
        figures = (row[name] for name in ("opening_balance", "payins", "payouts", "closing_balance", "residual"))
        day = (row["business_date"] - START.date()).days
        found.setdefault(row["merchant"], []).append((day, *map(int, figures)))
    return found


def look(orders: Orders, asset: str, check: str) -> tuple[bool, dict[str, Any], str]:
    """Whether a check passes at the present minute, its metadata, and what it says."""
    _, found = LOOKS[dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)]
    result = found(orders.warehouse.make_settings(PSP_NOW=orders.now.isoformat()))
    return result["passed"], result["metadata"], result.get("description", "")


def fed(orders: Orders, day: float) -> None:
    """A feed of PayShack that began then has read everything."""
    orders.warehouse.query(
        "insert into raw.load_runs (source, mode, scope, status, started_at)"
        " values ('payshack', 'feed', 'test', 'succeeded', %s)",
        (START + timedelta(days=day),),
    )


def kept(orders: Orders) -> list[list[dict[str, Any]]]:
    """All that the two models hold, less when it was written."""
    rows = [
        orders.warehouse.query(f"select to_jsonb(kept) - 'changed_xid' as row from {name} as kept order by 1")  # noqa: S608
        for name in ("intermediate.int_balances__snapshots", "marts.rpt_balance_identity_daily")
    ]
    assert all(rows)
    return rows


def test_readings_that_say_the_same_and_movements_that_go(orders: Orders) -> None:
    directory = Directory(orders)
    directory.read(0, {"still": 1000, "gone": 1000, "from": 100, "to": 100, "id 1": 10, "twin 1": 1, "twin 2": 2})

    on(orders, 1)
    for client, record in (("still", "late"), ("gone", "gone"), ("from", "mistaken"), ("twin", "shared")):
        orders.payshack(record, "Success", clientName=client)
    orders.payshack("old name", "Success", clientName="id 1")
    names = {"twin 1": "twin", "twin 2": "twin"}
    directory.read(0.01, {"twin 1": 1, "twin 2": 2}, names=names)
    directory.read(1.02, {"still": 1000, "gone": 1500, "from": 600, "to": 100})
    directory.read(1.02, {"twin 1": 401, "twin 2": 102}, names=names)
    directory.read(1.02, {"id 1": 510})
    directory.read(1.03, {"id 1": 510}, names={"id 1": "new name"})
    run(orders, 1.1)
    assert told(orders) == {
        "still": [(1, 1000, 500, 0, 1000, -500)],
        "gone": [(1, 1000, 500, 0, 1500, 0)],
        "from": [(1, 100, 500, 0, 600, 0)],
        "to": [(1, 100, 0, 0, 100, 0)],
        "id 1": [(1, 10, 500, 0, 510, 0)],
        "twin": [(1, 3, 500, 0, 503, 0)],
    }

    directory.read(2, {"still": 1500, "to": 100, "from": 600})
    on(orders, 2.5)
    orders.payshack("out", "SUCCESS", clientName="still", out=True)
    directory.read(3, {"still": 1000})
    directory.read(3, {"id 1": 509}, names={"id 1": "new name"})
    run(orders, 3.1)
    assert told(orders)["still"] == [
        (1, 1000, 500, 0, 1000, -500),
        (2, 1000, 0, 0, 1500, 500),
        (3, 1500, 0, -500, 1000, 0),
    ]
    assert told(orders)["new name"] == [(3, 510, 0, 0, 509, -1)]

    on(orders, 4)
    orders.payshack("gone", "Tampered", clientName="gone")
    orders.payshack("mistaken", "Success", clientName="to")
    run(orders, 4.1)
    found = told(orders)
    assert found["gone"] == [(1, 1000, 0, 0, 1500, 500)]
    assert found["from"] == [(1, 100, 0, 0, 600, 500), (2, 600, 0, 0, 600, 0)]
    assert found["to"] == [(1, 100, 500, 0, 100, -500), (2, 100, 0, 0, 100, 0)]

    assert look(orders, *RESIDUALS)[1]["periods_judged"] == 0, "no listing is known complete past a reading"
    fed(orders, 1.025)
    passed, metadata, words = look(orders, *RESIDUALS)
    judged = ("periods_judged", "periods_not_yet_complete", "periods_with_residual")
    assert (passed, [metadata[name] for name in judged]) == (False, [6, 5, 4])
    fed(orders, 3.01)
    passed, metadata, words = look(orders, *RESIDUALS)
    assert (passed, [metadata[name] for name in judged]) == (False, [11, 0, 6])
    assert "On 2026-01-18 the balance of new name holds 1 INR less than what moved explains, and 5 more" in words
    assert metadata["newest_of_them"]["2026-01-16 gone"] == "+500 INR"
    assert metadata["residuals_together"]["still"] == "+0 INR"
    assert look(orders, *UNREAD)[1]["last_read"] == {
        **dict.fromkeys(("id 1", "twin"), "2026-01-16T10:28:48+00:00"),
        "to": "2026-01-17T10:00:00+00:00",
        "still": "2026-01-18T10:00:00+00:00",
    }

    before = kept(orders)
    written = "select max(changed_xid) as xid from marts.rpt_balance_identity_daily"
    newest = orders.warehouse.query(written)
    run(orders, 4.2)
    assert orders.warehouse.query(written) == newest, "a run without news writes nothing"
    orders.warehouse.rebuild(orders.now, *READ)
    assert kept(orders) == before


def test_a_sign_that_is_not_as_read_is_told(orders: Orders) -> None:
    """Which one PayShack means, only its figures tell (R9)."""

    def signs(table: str) -> tuple[bool, dict[str, int], list[str]]:
        passed, metadata, _ = look(orders, f"raw/{table}", "signs_are_as_read")
        return passed, metadata["records"], metadata["odd"]

    orders.payshack("usual", "Success", totalCommissionAmount=2.5)
    orders.payshack("plain", "SUCCESS", out=True)
    assert signs("payshack_payins") == (True, {"as read": 1}, [])
    assert signs("payshack_payouts") == (True, {"no netAmount": 1}, [])
    orders.payshack("commission", "Success", totalCommissionAmount=-2.5)
    orders.payshack("pending", "Pending", amount=-1)
    assert signs("payshack_payins") == (False, {"as read": 1, "below zero": 1}, ["below zero"])
    orders.payshack("on top", "SUCCESS", out=True, txnCharges=5, netAmount=-505)
    orders.payshack("free", "SUCCESS", out=True, netAmount="-500.00")
    orders.payshack("failed", "FAILED", out=True, txnCharges=5, netAmount=0)
    known = {"no netAmount": 1, "-(amount + charges)": 1, "-amount": 1}
    assert signs("payshack_payouts") == (True, known, [])
    orders.payshack("within", "SUCCESS", out=True, txnCharges=5, netAmount=-495)
    assert signs("payshack_payouts") == (False, known | {"-(amount - charges)": 1}, ["-(amount - charges)"])
    orders.payshack("within", "SUCCESS", out=True, txnCharges=-5, netAmount=-495)
    orders.payshack("unsigned", "SUCCESS", out=True, txnCharges=5, netAmount=505)
    passed, _, odd = signs("payshack_payouts")
    assert not passed
    assert set(odd) == {"below zero", "-(amount - charges)", "-(amount + charges)", "-amount", "+(amount + charges)"}
