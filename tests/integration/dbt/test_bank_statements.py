"""Bank files into the raw log and against what PayShack says was paid: each line once, one line for one settlement."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.breaks import actions
from pipelines.core.errors import LoadError, SourceContractError
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from pipelines.loading.bank import load_bank_file
from tests.integration.dbt.conftest import Warehouse
from tests.integration.dbt.worlds import LogRow, insert_log

NOW = datetime(2026, 1, 20, 12, 0, tzinfo=UTC)
PAID_AT = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
REPORTS = ("+rpt_bank_bridge_daily", "rpt_reconciliation_daily")
CLOSED = ("explained", "written_off", "excluded_test")
HEAD = "Date,Text,Ref,Amount\n"
MAPPING = (
    '[statement]\naccount = "000000000001"\ncurrency = "INR"\n'
    '[columns]\nvalue_date = "Date"\nnarration = "Text"\nreference = "Ref"\namount = "Amount"\n'
)


def payin(
    number: int, amount: str, *, at: datetime = PAID_AT, fee: str = "2", version: int = 1, **changes: object
) -> LogRow:
    """A paid PayShack pay-in; its UTR is its number."""
    payload = {"clientName": "91G_TECH_PVT_LTD", "txnStatus": "Success", "amount": amount, "paidAmount": amount}
    payload |= {"totalCommissionAmount": fee, "utr": f"{number:012d}", "rrn": f"9{number:011d}"} | changes
    values = {
        "record_id": f"T{number}",
        "content_hash": f"h{number}-{version}",
        "order_key": f"K{number}",
        "source_order": None,
        "source_created_at": at,
        "source_updated_at": at + timedelta(hours=version - 1),
        "payload": json.dumps(payload),
        "observed_at": at + timedelta(hours=version - 1),
        "load_mode": "feed",
        "load_scope": "bank",
        "load_page": 1,
        "_dlt_load_id": "bank",
    }
    return LogRow(table="payshack_payins", observed_at=at, values=values)


@pytest.fixture
def paid(dbt_warehouse: Warehouse) -> Warehouse:
    day = timedelta(days=1)
    rows = [
        *(payin(1, "100"), payin(2, "200"), payin(3, "300"), payin(4, "77.25")),
        # The next settlement day is paid in one credit; 21:00 in India is its beginning.
        *(payin(11, "10", at=PAID_AT + day), payin(12, "20", at=PAID_AT + day)),
        payin(13, "30", at=datetime(2026, 1, 15, 15, 30, tzinfo=UTC)),
        # Two of a day that are alike: a credit of one of them could be either.
        *(payin(21, "50", at=PAID_AT + 2 * day), payin(22, "50", at=PAID_AT + 2 * day)),
    ]
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, rows)
    return dbt_warehouse


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def outcomes(warehouse: Warehouse) -> dict[str, tuple[str, str | None]]:
    rows = warehouse.query("select reference, amount, outcome, match_pass from marts.fct_bank_lines")
    return {f"{row['reference']} {row['amount']}": (row["outcome"], row["match_pass"]) for row in rows}


def test_lines_settle_payments_and_the_bridge_names_the_rest(paid: Warehouse, tmp_path: Path) -> None:
    settings = paid.make_settings(PSP_NOW=NOW.isoformat())
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING, encoding="utf-8")
    paid.models(NOW)
    assert paid.query("select * from marts.fct_bank_settlements") == []
    first = write(
        tmp_path,
        "first.csv",
        *("2026-01-14,opening,A,0", "2026-01-16,UPI/000000000001/x,B,98", "2026-01-16,NEFT,900000000002,200"),
        *("2026-01-16,IMPS 000000000003 x,C,290", "2026-01-16,settlement,D,54"),
        *("2026-01-17,charge,E,-5", "2026-01-17,charge,E,-5"),
    )
    report = load_bank_file(settings, first, mapping_path=mapping)
    assert (report.lines_read, report.lines_new, report.is_known_file) == (7, 7, False)
    again = load_bank_file(settings, first, mapping_path=mapping)
    assert (again.lines_new, again.is_known_file) == (0, True)
    # An overlapping statement adds what is new, also a third line that looks like the two before.
    second = write(
        tmp_path,
        "second.csv",
        *("2026-01-17,charge,E,-5", "2026-01-17,charge,E,-5", "2026-01-17,charge,E,-5"),
        *("2026-01-18,settlement,F,48", "2026-01-19,who is this,G,12.34"),
    )
    report = load_bank_file(settings, second, mapping_path=mapping)
    assert (report.lines_read, report.lines_new) == (5, 3)
    paid.models(NOW)

    assert outcomes(paid) == {
        "A 0": ("other_debit", None),
        "B 98": ("matched", "reference"),
        "900000000002 200": ("matched", "reference"),
        "C 290": ("matched", "reference"),
        "D 54": ("matched", "batch"),
        "E -5": ("other_debit", None),
        "F 48": ("ambiguous", "batch"),
        "G 12.34": ("missing_provider", None),
    }
    settled = paid.query("select transaction_id, outcome from marts.fct_bank_settlements order by transaction_id")
    found = {row["transaction_id"].removeprefix("payshack:payin:"): row["outcome"] for row in settled}
    assert found == {
        **dict.fromkeys(("T1", "T2", "T3", "T11", "T12", "T13"), "matched"),
        "T4": "missing_bank",
        "T21": "ambiguous",
        "T22": "ambiguous",
    }
    bridge = paid.query("select cause, amount from marts.rpt_bank_bridge_daily order by settlement_day, position")
    totals: dict[str, Decimal] = {}
    for line in bridge:
        totals[line["cause"]] = totals.get(line["cause"], Decimal(0)) + line["amount"]
    banked = paid.query("select sum(amount) as amount from raw.bank_lines")[0]["amount"]
    moved = paid.query("select sum(amount) as amount from marts.fct_movements")[0]["amount"]
    assert (totals.pop("bank_net"), totals.pop("payshack_net"), totals.pop("residual")) == (banked, moved, 0)
    assert totals == {
        "fee_netted": Decimal(2 + 2 + 6),
        "amount_difference": Decimal(8),
        "missing_bank": Decimal("77.25"),
        "ambiguous_settlement": Decimal(100),
        "missing_provider": Decimal("-12.34"),
        "ambiguous_line": Decimal(-48),
        "other_debit": Decimal(15),
    }
    fits = paid.query("select count(*) as n from marts.fct_bank_batch_fits where not is_only_fit")
    assert fits[0]["n"] == 2
    decisions_hold_until_data_say_something_new(paid, settings, mapping, tmp_path)
    failed = paid.invoke(NOW, ["test", "--exclude-resource-type", "unit_test", "--select", "path:models/marts/bank"])
    assert failed.success, [result.message for result in failed.result if result.status != "pass"]


def decisions_hold_until_data_say_something_new(
    paid: Warehouse, settings: Settings, mapping: Path, folder: Path
) -> None:
    """T4 is written off, changes its amount and comes after all; G is explained, then its payment turns up."""

    def told(item: str) -> tuple[str, str | None, Decimal, int | None]:
        (row,) = paid.query("select * from marts.fct_bank_breaks where reconciliation_id ~ %s", (item,))
        return row["state"], row["close_cause"], row["value_at_risk"], row["lateness_seconds"]

    def decided() -> dict[str, Decimal]:
        rows = paid.query("select cause, sum(amount) as amount from marts.rpt_bank_bridge_daily group by cause")
        causes = {row["cause"]: row["amount"] for row in rows}
        assert causes["residual"] == 0
        return {name: causes[name] for name in ("missing_bank", "missing_provider", *CLOSED) if name in causes}

    (line,) = paid.query("select bank_line_id from marts.fct_bank_lines where reference = 'G'")
    unpaid, unknown = "T4:payment", line["bank_line_id"]
    assert told(unpaid) == ("open", None, Decimal("77.25"), None)
    assert told(unknown) == ("open", None, Decimal("12.34"), None)
    counted = paid.query("select count(*) as n, sum(value_at_risk) as v from marts.rpt_reconciliation_daily")
    with connect(paid.url, role="psp_operator", autocommit=True) as connection:
        for item, act, code in (
            (unpaid, actions.write_off, "uncollectable"),
            (unknown, actions.explain, "not_a_settlement"),
        ):
            (row,) = paid.query("select break_id from marts.fct_bank_breaks where reconciliation_id ~ %s", (item,))
            said = {"reason_code": code, "text": "known", "actor": "asha", "at": NOW, "expected_event_number": 1}
            act(connection, row["break_id"], **said)
    paid.changes(NOW, *REPORTS)
    assert decided() == {"written_off": Decimal("77.25"), "explained": Decimal("-12.34")}
    # Reconciliation counts none of it.
    assert paid.query("select count(*) as n, sum(value_at_risk) as v from marts.rpt_reconciliation_daily") == counted
    assert paid.query("select 1 from marts.fct_breaks where reason_family = 'bank'") == []

    # Another amount is another matter: what was written off is open again.
    with connect(paid.url) as connection:
        insert_log(connection, [payin(4, "80.25", version=2)])
    paid.changes(NOW, *REPORTS)
    assert told(unpaid) == ("reopened", None, Decimal("80.25"), None)
    assert decided() == {"missing_bank": Decimal("80.25"), "explained": Decimal("-12.34")}

    # The credit comes, and the payment that nobody knew of: 14.34 less its fee, a day before the line's value date.
    late = write(folder, "late.csv", "2026-01-19,UPI 000000000004,H,78.25")
    load_bank_file(settings, late, mapping_path=mapping)
    with connect(paid.url) as connection:
        insert_log(connection, [payin(31, "14.34", at=NOW - timedelta(days=2))])
    paid.changes(NOW, *REPORTS)
    seconds = int((NOW - PAID_AT).total_seconds())
    assert told(unpaid) == ("auto_resolved", "late_arrival", Decimal(0), seconds)
    assert told(unknown)[:3] == ("auto_resolved", "late_arrival", Decimal(0))
    assert decided() == {}


def test_a_refused_file_leaves_nothing(dbt_warehouse: Warehouse, tmp_path: Path) -> None:
    settings = dbt_warehouse.make_settings(PSP_NOW=NOW.isoformat())
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING, encoding="utf-8")
    broken = write(tmp_path, "broken.csv", "2026-01-16,fine,A,98", "2026-01-16,not,B,9x")
    with pytest.raises(SourceContractError, match="Line 3 of the CSV"):
        load_bank_file(settings, broken, mapping_path=mapping)
    with connect(dbt_warehouse.url) as connection:
        connection.execute("alter table raw.bank_statements add constraint none check (line_count < 0)")
    fine = write(tmp_path, "fine.csv", "2026-01-16,fine,A,98")
    with pytest.raises(LoadError, match="cannot be stored"):
        load_bank_file(settings, fine, mapping_path=mapping)
    assert dbt_warehouse.query("select * from raw.bank_lines") == []
