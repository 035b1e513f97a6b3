"""Scheduled files hold every row of the mart, exactly, and the asset that writes them says when they do not."""

import csv
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import openpyxl
import pytest

from pipelines.core.errors import DashboardError
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from pipelines.dashboards import exports
from pipelines.dashboards.deploy import Deploy, ScheduledExport, card_named, load_deploy
from pipelines.dashboards.exports import write_export
from pipelines.dashboards.files import load_content
from pipelines.defs.publish.dashboards import CHECK, dashboard_definitions

CONTENT, DEPLOY = load_content(), load_deploy()


def export_named(deploy: Deploy, name: str, **changes: object) -> ScheduledExport:
    found = next(item for item in deploy.exports if item.name == name)
    return found.model_copy(update=changes)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_holds_every_row_of_its_days_exactly(loaded_settings: Settings, tmp_path: Path) -> None:
    assert loaded_settings.psp_database_url is not None
    with connect(loaded_settings.psp_database_url.get_secret_value()) as connection:
        truth = connection.execute(
            "select count(*), sum(amount) from marts.fct_transactions"
            " where business_date = '2026-01-14' and status in ('success', 'refunded', 'chargeback')"
        ).fetchone()
    assert truth is not None
    written = write_export(loaded_settings, CONTENT, export_named(DEPLOY, "finance_transactions"), tmp_path)
    assert {path.name for path in written.files} == {
        "finance_transactions_2026-01-14.csv",
        "finance_transactions_2026-01-14.xlsx",
    }
    assert written.rows == written.rows_in_mart == truth[0] > 10
    text, book = (next(path for path in written.files if path.suffix == end) for end in (".csv", ".xlsx"))
    found = rows_of(text)
    assert sum(Decimal(row["amount"]) for row in found) == truth[1]
    assert {row["business_date"] for row in found} == {"2026-01-14"}
    with closing(openpyxl.load_workbook(book, read_only=True)) as workbook:
        cells = list(workbook.worksheets[0].iter_rows(values_only=True))
    assert len(cells) - 1 == truth[0]
    column = cells[0].index("amount")
    assert sum(Decimal(str(row[column])) for row in cells[1:]) == truth[1]
    assert not list(tmp_path.glob(".*.part"))


def test_a_long_file_goes_on_in_a_further_sheet_and_formulas_are_disarmed(
    loaded_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SHEET_ROWS", 10)
    card = card_named(CONTENT, "close_transactions")
    query = (
        "select '=1+1' as word, n as number, date '2026-01-14' as day from generate_series(1, 25) as n -- {{period}}"
    )
    content = replace(CONTENT, cards={"x": replace(card, sql=query)})
    written = write_export(loaded_settings, content, export_named(DEPLOY, "finance_transactions"), tmp_path)
    assert written.rows == 25
    assert written.rows != written.rows_in_mart
    text, book = (next(path for path in written.files if path.suffix == end) for end in (".csv", ".xlsx"))
    assert {row["word"] for row in rows_of(text)} == {"'=1+1"}
    sheets = openpyxl.load_workbook(book).worksheets
    assert [sheet.max_row for sheet in sheets] == [11, 11, 6]
    assert sheets[2]["B6"].value == 25
    assert sheets[0]["A2"].value == "'=1+1"


def test_a_file_that_cannot_be_made_leaves_the_old_one(loaded_settings: Settings, tmp_path: Path) -> None:
    export = export_named(DEPLOY, "finance_close")
    written = write_export(loaded_settings, CONTENT, export, tmp_path)
    before = written.files[0].read_bytes()
    card = card_named(CONTENT, "close_by_currency")
    broken = replace(CONTENT, cards={"x": replace(card, sql="select nothing from marts.rpt_reconciliation_daily")})
    with pytest.raises(Exception, match="nothing"):
        write_export(loaded_settings, broken, export, tmp_path)
    assert written.files[0].read_bytes() == before
    with pytest.raises(DashboardError):
        write_export(
            loaded_settings, CONTENT, export_named(DEPLOY, "finance_close", filters={"period": ["x"]}), tmp_path
        )


def test_the_asset_writes_files_and_its_check_compares_rows(
    loaded_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaded_settings.psp_database_url is not None
    monkeypatch.setenv("PSP_DATABASE_URL", loaded_settings.psp_database_url.get_secret_value())
    monkeypatch.setenv("PSP_HOME", str(tmp_path))
    monkeypatch.setenv("PSP_NOW", "2026-01-15T12:03:00Z")
    found = dashboard_definitions()
    assets = [asset for asset in found.assets or () if isinstance(asset, dg.AssetsDefinition)]
    chosen = next(asset for asset in assets if asset.key.path == ["exports", "finance_close"])
    result = dg.materialize([chosen])
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (CHECK, True)
    assert (tmp_path / "exports" / f"finance_close_{date(2026, 1, 14)}.xlsx").exists()
    schedules = {schedule.name: schedule for schedule in found.schedules or ()}
    assert {item.execution_timezone for item in schedules.values()} == {"Asia/Kolkata"}  # type: ignore[union-attr]
