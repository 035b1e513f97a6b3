"""`psp quarantine list` and `replay`, as a person or a program uses them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.core.settings import Settings
from pipelines.loading import quarantine
from pipelines.loading.vima import load_vima_feed
from pipelines.sources.vima.schema import OPERATIONS
from tests.integration.loading.conftest import TinyVima, operation


@pytest.fixture
def psp(
    vima: TinyVima, vima_settings: Callable[..., Settings], warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs `psp quarantine` over a warehouse with two records in quarantine."""
    vima.rows = [
        operation(1),
        operation(2, complete_amount="much", contact="payer7@example.com"),
        operation(3, operation_id=None),
    ]
    settings = vima_settings()
    load_vima_feed(settings)
    monkeypatch.setenv("PSP_DATABASE_URL", warehouse)
    monkeypatch.setenv("PSP_HOME", str(settings.psp_home))

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["quarantine", *arguments])
        assert result.exit_code == code, result.output
        return result

    return run


def test_the_list_names_reasons_and_never_payers(psp: Callable[..., Any]) -> None:
    told = psp("list")
    assert "broken_amount" in told.stdout
    assert "missing_id" in told.stdout
    assert "payer7" not in told.output
    found = json.loads(psp("list", "--reason", "missing_id", "--json").stdout)
    assert found["total"] == 1
    assert found["records"][0]["source_table"] == "vima_operations"
    assert "1 of 2" in psp("list", "--limit", "1").stderr, "what a limit hides is told"
    assert "Nothing is in quarantine" in psp("list", "--table", "payshack_payins").stderr
    assert "no table of the raw log" in psp("list", "--table", "nothing", code=1).stderr


def test_replay_says_what_went_and_what_stays(psp: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(psp("replay", "--json").stdout)
    assert found["replayed"] == 0
    assert len(found["refused"]) == 2
    monkeypatch.setitem(quarantine.SPECS, "vima_operations", replace(OPERATIONS, check=lambda payload: None))
    waiting = json.loads(psp("list", "--reason", "broken_amount", "--json").stdout)["records"]
    found = json.loads(psp("replay", "--id", str(waiting[0]["quarantine_id"]), "--json").stdout)
    assert (found["replayed"], found["rows_new"], found["refused"]) == (1, 1, {})
    assert "missing_id" in psp("replay").stdout
    assert json.loads(psp("list", "--json").stdout)["total"] == 1
    assert json.loads(psp("list", "--all", "--json").stdout)["total"] == 2
