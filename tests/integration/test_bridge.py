"""The bridges of the standing world, with decisions of people and statements of a bank: no rupee without a name."""

from decimal import Decimal
from pathlib import Path

from psycopg.rows import dict_row

from pipelines.breaks import actions
from pipelines.breaks.ledger import read_break
from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import run_models
from pipelines.loading.bank import load_bank_file

REPORTS = ("+rpt_bridge_daily", "+rpt_bank_bridge_daily", "+rpt_reconciliation_daily")
MAPPING = """
[statement]
account = "000000000001"
currency = "INR"
[columns]
value_date = "date"
narration = "text"
amount = "amount"
"""


def query(settings: Settings, statement: str) -> list[dict[str, object]]:
    with connect(database_url(settings), application="test") as connection:
        return connection.cursor(row_factory=dict_row).execute(statement.encode()).fetchall()


def decide(settings: Settings) -> None:
    """Of every second break somebody accepts the cause or the loss; what is large another one approves."""
    found = query(settings, "select break_id from marts.fct_breaks where is_open order by break_id")
    with connect(database_url(settings), role="psp_operator", autocommit=True) as connection:
        for number, row in enumerate(found[::2]):
            known = read_break(connection, str(row["break_id"]))
            named = {"break_id": known.break_id, "at": settings.clock(), "text": "known"}
            event = known.last_event_number
            if number % 5:
                actions.explain(connection, **named, actor="asha", reason_code="other", expected_event_number=event)
                continue
            after = actions.write_off(
                connection, **named, actor="asha", reason_code="goodwill", expected_event_number=event
            )
            if after.proposal:
                actions.approve(connection, **named, actor="ravi", expected_event_number=after.last_event_number)


def bring_statement(settings: Settings, folder: Path) -> None:
    """Of five settlement days four are credited in one sum each, one of them short; a credit more that nobody knows."""
    days = query(
        settings,
        """
        select
            moved.settlement_day,
            sum(moved.amount) - sum(case moved.kind when 'payment' then coalesce(records.fee, 0) else 0 end) as net
        from marts.fct_movements as moved
        inner join intermediate.int_transactions__current as records using (transaction_id)
        where moved.project = '91game' and moved.source = 'payshack' and moved.flow = 'payin'
        group by moved.settlement_day order by moved.settlement_day offset 1 limit 5
        """,
    )
    short = [(day["settlement_day"], Decimal(str(day["net"])) - (number == 1)) for number, day in enumerate(days[:4])]
    lines = [f"{day},settlement,{net}" for day, net in short]
    lines += [f"{days[4]['settlement_day']},who is this,12.34", f"{days[4]['settlement_day']},charge,-5"]
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (folder / "bank.csv").write_text("\n".join(["date,text,amount", *lines]) + "\n", encoding="utf-8")
    load_bank_file(settings, folder / "bank.csv", mapping_path=folder / "mapping.toml")


def test_no_day_project_or_currency_has_a_residual(loaded_settings: Settings, tmp_path: Path) -> None:
    decide(loaded_settings)
    bring_statement(loaded_settings, tmp_path)
    run_models(loaded_settings, project=parsed_project(loaded_settings), depth="changes", select=REPORTS)
    days = query(
        loaded_settings,
        "select distinct business_date, project, flow, coalesce(currency, 'unknown') from marts.fct_reconciliation",
    )
    residuals = query(loaded_settings, "select amount from marts.rpt_bridge_daily where cause = 'residual'")
    assert len(residuals) >= len(days) > 30
    assert {row["amount"] for row in residuals} == {0}
    # What people have decided is exactly what their breaks are about, and no longer at risk anywhere.
    decided = query(
        loaded_settings,
        """
        select
            (select sum(amount) from marts.rpt_bridge_daily where cause in ('explained', 'written_off')) as in_bridge,
            sum(mart.vima_effect - mart.payshack_effect) as by_rows,
            count(*) as breaks
        from marts.fct_breaks as breaks
        inner join marts.fct_reconciliation as mart using (reconciliation_id)
        where breaks.state in ('explained', 'written_off') and mart.outcome <> 'matched'
        """,
    )[0]
    assert int(str(decided["breaks"])) > 50
    assert decided["in_bridge"] == decided["by_rows"]
    at_risk = query(
        loaded_settings,
        "select (select sum(value_at_risk) from marts.rpt_reconciliation_daily) as by_days,"
        " sum(value_at_risk) as by_breaks from marts.fct_breaks",
    )[0]
    assert at_risk["by_days"] == at_risk["by_breaks"]
    bank = query(loaded_settings, "select cause, sum(amount) as amount from marts.rpt_bank_bridge_daily group by cause")
    causes = {str(row["cause"]): row["amount"] for row in bank}
    residuals = query(loaded_settings, "select amount from marts.rpt_bank_bridge_daily where cause = 'residual'")
    assert {row["amount"] for row in residuals} == {0}
    assert set(causes) > {"payshack_net", "bank_net", "fee_netted", "missing_provider", "missing_bank", "other_debit"}
