"""A second building beside the marts: the nightly comparison finds what differs, a change of rules names its breaks."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.core.errors import ModelError
from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.equality import COMPARED, compare_with_rebuild
from pipelines.defs.model.manifest import PROJECT, parsed_project
from pipelines.defs.model.nightly import ASSETS
from pipelines.defs.model.rule_changes import rule_changes

PAID_WITHOUT_MONEY = "payin,S,F,none,0,,discrepancy_status,comparable,credited_without_money,critical"
BOTH_FAILED = "payin,F,F,none,0,,matched,comparable,,"

STATEMENT = """
insert into raw.bank_statements (
    file_hash, statement_number, file_name, file_format, account, currency, statement_name, first_day, last_day,
    line_count, observed_at
) values ('f', 1, 'f', 'csv', '000000000001', 'INR', 's', '2026-01-08', '2026-01-12', 1, now());
insert into raw.bank_lines (
    line_key, line_hash, occurrence, account, currency, value_date, booked_on, amount, narration, file_hash,
    statement_number, line_number, observed_at
) values ('l', 'l', 1, '000000000001', 'INR', '2026-01-09', '2026-01-09', 12.34, 'x', 'f', 1, 1, now())
"""


# The world has stood still for one reading; here is the next day's.
READINGS = """
insert into raw.payshack_balance_snapshots (client_id, observed_at, content_hash, balance)
select client_id, observed_at + interval '2 hours', content_hash, balance + 1 from raw.payshack_balance_snapshots
union all
select client_id, observed_at + interval '1 day', content_hash, balance from raw.payshack_balance_snapshots
"""


def query(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    with connect(database_url(settings), autocommit=True, application="test") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_nightly_comparison_finds_the_row_that_a_rebuild_would_not_write(loaded_settings: Settings) -> None:
    query(loaded_settings, STATEMENT)
    query(loaded_settings, READINGS)
    later = loaded_settings.model_copy(update={"psp_now": loaded_settings.clock() + timedelta(hours=3)})
    equal = compare_with_rebuild(later, parsed_project(later))
    assert {found.model: found.different for found in equal} == dict.fromkeys(COMPARED, 0) == dict.fromkeys(ASSETS, 0)
    few = re.compile("bank|balance")
    assert all(found.compared > (0 if few.search(found.model) else 2500) for found in equal)
    wrong = query(later, "select min(reconciliation_id) from marts.fct_reconciliation")[0][0]
    lost = query(later, "select max(transaction_id) from marts.fct_transactions")[0][0]
    query(later, f"update marts.fct_reconciliation set exposure = 1 where reconciliation_id = '{wrong}'")  # noqa: S608
    unpaid = query(later, "select min(movement_id) from marts.fct_bank_settlements")[0][0]
    query(later, f"update marts.fct_bank_settlements set outcome = 'matched' where movement_id = '{unpaid}'")  # noqa: S608
    query(later, f"delete from marts.fct_transactions where transaction_id = '{lost}'")  # noqa: S608
    read = query(later, "select min(snapshot_id) from intermediate.int_balances__snapshots")[0][0]
    query(later, f"delete from intermediate.int_balances__snapshots where snapshot_id = '{read}'")  # noqa: S608
    query(later, "update marts.rpt_balance_identity_daily set residual = 0 where merchant = '91G_TECH_PVT_LTD'")
    found = {found.model: found.examples for found in compare_with_rebuild(later, parsed_project(later))}
    assert found == {
        **{mart: [] for mart in COMPARED},
        "fct_reconciliation": [wrong],
        "fct_transactions": [lost],
        "fct_bank_settlements": [unpaid],
        "int_balances__snapshots": [read],
        "rpt_balance_identity_daily": ["2026-01-16 91G_TECH_PVT_LTD"],
    }
    assert query(later, "select 1 from pg_tables where schemaname ~ '^shadow'") == []


def test_a_change_of_rules_names_the_breaks_that_come_go_and_change(loaded_settings: Settings, tmp_path: Path) -> None:
    matrix = (PROJECT / "seeds" / "pair_matrix.csv").read_text()
    changed = matrix.replace(PAID_WITHOUT_MONEY, "payin,S,F,none,0,,matched,comparable,,")
    changed = changed.replace(BOTH_FAILED, "payin,F,F,none,0,,discrepancy_status,comparable,suspect,low")
    (tmp_path / "pair_matrix.csv").write_text(changed.replace("late_success,high", "late_success,critical"))
    marts = "select md5(string_agg(fct::text, '' order by reconciliation_id)) from marts.fct_reconciliation as fct"
    before = query(loaded_settings, marts)
    first, last = query(
        loaded_settings, "select max(business_date) - 9, max(business_date) - 3 from marts.fct_reconciliation"
    )[0]
    found = rule_changes(
        loaded_settings,
        parsed_project(loaded_settings),
        rules=tmp_path,
        first=first,
        last=last,  # type: ignore[arg-type]
    )
    expected = query(
        loaded_settings,
        f"""
        select case
            when sub_reason = 'credited_without_money' then 'vanishes' when sub_reason = 'late_success' then 'changes'
            else 'appears' end as change, reconciliation_id
        from marts.fct_reconciliation
        where business_date between '{first}' and '{last}' and flow = 'payin' and comparability = 'comparable'
            and ((vima_status, payshack_status) in (('success', 'failed'), ('failed', 'failed'))
                or (sub_reason = 'late_success'))
        """,  # noqa: S608
    )
    assert {(row["change"], row["reconciliation_id"]) for row in found} == set(expected)
    assert {change for change, _ in expected} == {"appears", "vanishes", "changes"}
    assert query(loaded_settings, marts) == before


def test_changed_rules_that_are_none_are_refused(loaded_settings: Settings, tmp_path: Path) -> None:
    project, day = parsed_project(loaded_settings), loaded_settings.clock().date()
    with pytest.raises(ModelError, match="holds no CSV"):
        rule_changes(loaded_settings, project, rules=tmp_path, first=day, last=day)
    (tmp_path / "rates.csv").write_text("a\n1\n")
    with pytest.raises(ModelError, match="is no seed"):
        rule_changes(loaded_settings, project, rules=tmp_path, first=day, last=day)
    (tmp_path / "rates.csv").unlink()
    shutil.copy(PROJECT / "seeds" / "break_slas.csv", tmp_path)
    with pytest.raises(ModelError, match=r"break_slas.csv decides nothing about what is a break"):
        rule_changes(loaded_settings, project, rules=tmp_path, first=day, last=day)
    (tmp_path / "break_slas.csv").unlink()
    shutil.copy(PROJECT / "seeds" / "pair_matrix.csv", tmp_path)
    with (tmp_path / "pair_matrix.csv").open("a") as file:
        file.write("payin,S,S,none,soon,,matched,comparable,,\n")
    with pytest.raises(ModelError, match=r"pair_matrix.csv cannot be read as the seed"):
        rule_changes(loaded_settings, project, rules=tmp_path, first=day, last=day)
