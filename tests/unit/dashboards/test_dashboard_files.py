"""The dashboard files are right, and a slip in them is seen: one slip per case in a copy of the folder."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.errors import DashboardError
from pipelines.core.settings import PROJECT_ROOT
from pipelines.dashboards.check import check_content
from pipelines.dashboards.deploy import load_deploy
from pipelines.dashboards.files import FOLDER, load_content
from pipelines.dashboards.lineage import marts_of_card, stale_exposures

VALIDATOR = "@metabase/representations@1.2.0"
PSP = Path("collections/main/psp")
Entity = dict[str, Any]
Slip = Callable[[Entity], object]


def problems(folder: Path) -> list[str]:
    try:
        return check_content(load_content(folder), load_deploy(folder))
    except DashboardError as error:
        return error.message.splitlines()


def test_the_files_have_no_findings() -> None:
    assert problems(FOLDER) == []


def test_the_exposures_say_what_the_dashboards_read(tmp_path: Path) -> None:
    content = load_content()
    assert stale_exposures(content) == []
    assert stale_exposures(content, tmp_path / "nothing.yml") != []
    models = {path.stem for path in (PROJECT_ROOT / "dbt_project" / "models" / "marts").rglob("*.sql")}
    assert {mart for card in content.cards.values() for mart in marts_of_card(card)} <= models


def validate(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The official validator, from npm; skipped where there is no npm or it cannot be reached."""
    if shutil.which("npx") is None:
        pytest.skip("no npx on this machine: the official validator is a Node.js program")
    ping = subprocess.run(["npx", "--yes", VALIDATOR, "--help"], capture_output=True, text=True, timeout=240)
    if ping.returncode != 0:
        pytest.skip(f"npm does not give {VALIDATOR}: {ping.stderr.strip().splitlines()[-1:]}")
    command = ["npx", "--yes", VALIDATOR, "validate-schema", "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_the_official_validator_passes_every_file_and_refuses_a_broken_one(tmp_path: Path) -> None:
    content = load_content()
    found = validate(FOLDER)
    assert found.returncode == 0, found.stdout
    count = len(content.cards) + len(content.collections) + len(content.dashboards)
    assert f"{count} passed, 0 failed" in found.stdout
    path = tmp_path / PSP / "everyone" / "overview.yaml"
    path.parent.mkdir(parents=True)
    raw = yaml.safe_load((FOLDER / PSP / "everyone" / "overview.yaml").read_text(encoding="utf-8"))
    raw["entity_id"] = "too-short"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert validate(tmp_path).returncode == 1


def tag(entity: Entity, name: str) -> Entity:
    tags = entity["dataset_query"]["stages"][0]["template-tags"]
    return next(item for item in tags if item["name"] == name)


def stage(entity: Entity) -> Entity:
    found: Entity = entity["dataset_query"]["stages"][0]
    return found


def place(entity: Entity, number: int) -> Entity:
    found: Entity = [item for item in entity["dashcards"] if item["card_id"]][number]
    return found


def a_click(entity: Entity) -> Entity:
    for item in entity["dashcards"]:
        for value in (item["visualization_settings"].get("column_settings") or {}).values():
            if "click_behavior" in value:
                found: Entity = value["click_behavior"]
                return found
    raise AssertionError("no click")


CARD, BOARD = "everyone/payments_by_day.yaml", "everyone/overview.yaml"
TABLE = "everyone/money_by_currency.yaml"
SLIPS: list[tuple[str, str, Slip, str]] = [
    ("off the grid", BOARD, lambda e: place(e, 0).update(col=4), "reaches over the 24 columns"),
    ("overlap", BOARD, lambda e: place(e, 1).update(row=0), "lies over"),
    ("unknown card", BOARD, lambda e: place(e, 0).update(card_id="A" * 21), "is no card"),
    ("unmapped tag", BOARD, lambda e: place(e, 1)["parameter_mappings"].pop(), "no filter is mapped to its tag"),
    (
        "mapping to no tag",
        BOARD,
        lambda e: place(e, 1)["parameter_mappings"][0].update(target=["dimension", ["template-tag", "perod"]]),
        "names no tag of the query: perod",
    ),
    (
        "mapping of the wrong kind",
        BOARD,
        lambda e: place(e, 1)["parameter_mappings"][0].update(target=["variable", ["template-tag", "period"]]),
        "its mapping a variable",
    ),
    (
        "mapping to no filter",
        BOARD,
        lambda e: place(e, 1)["parameter_mappings"][0].update(parameter_id="nothing"),
        "names no filter of the dashboard",
    ),
    (
        "idle filter",
        BOARD,
        lambda e: e["parameters"].append({"id": "z", "name": "Idle", "slug": "idle", "type": "string/="}),
        "the filter Idle is wired to no card",
    ),
    ("filter of another kind", BOARD, lambda e: e["parameters"][0].update(type="number/="), "does not fit"),
    (
        "twice in one place",
        BOARD,
        lambda e: e["dashcards"].append(dict(e["dashcards"][0], row=90)),
        "stands on it 2 times",
    ),
    ("dead link", BOARD, lambda e: a_click(e).update(targetId="A" * 21), "which is no dashboard"),
    (
        "link to a missing filter",
        BOARD,
        lambda e: a_click(e)["parameterMapping"].update({"gone": {"source": {"type": "column", "id": "project"}}}),
        "sets a filter that Merchant and project analytics has not",
    ),
    ("misspelt click", BOARD, lambda e: a_click(e).update(target_id=1), "a click has no key target_id"),
    ("misspelt key of a card", CARD, lambda e: e.update(dispaly="bar"), "unknown key of a card: dispaly"),
    (
        "misspelt setting",
        CARD,
        lambda e: e["visualization_settings"].update({"graph.label_values_frequency": "all"}),
        "bar has no setting graph.label_values_frequency",
    ),
    (
        "a value that is no choice",
        CARD,
        lambda e: e["visualization_settings"].update({"stackable.stack_type": "stack"}),
        "stackable.stack_type is 'stack'",
    ),
    (
        "misspelt column setting",
        TABLE,
        lambda e: e["visualization_settings"]["column_settings"]['["name","net"]'].update(decimal=2),
        "column net has no setting decimal",
    ),
    (
        "blank in a column key",
        TABLE,
        lambda e: e["visualization_settings"]["column_settings"].update({'["name", "fees"]': {}}),
        "holds blanks",
    ),
    ("tag not defined", CARD, lambda e: stage(e)["template-tags"].pop(), "is used but not defined"),
    ("tag not used", CARD, lambda e: stage(e).update(native="select 1"), "is defined but not used"),
    (
        "filter on a table that is not read",
        CARD,
        lambda e: tag(e, "period").update(dimension=["field", {}, ["psp_everyone", "marts", "fct_transactions", "x"]]),
        "which the query does not read",
    ),
    (
        "alias that the filter does not know",
        CARD,
        lambda e: stage(e).update(native=stage(e)["native"].replace("rpt_metrics_daily", "rpt_metrics_daily as daily")),
        "has an alias",
    ),
    (
        "connection of others",
        CARD,
        lambda e: e["dataset_query"].update(database="psp_finance"),
        "its collection's connection",
    ),
    ("pivot", TABLE, lambda e: e.update(display="pivot"), "display pivot is not among"),
    ("no description", CARD, lambda e: e.update(description=" "), "has no description"),
    ("another id in meta", CARD, lambda e: e["serdes/meta"][0].update(id="A" * 21), "names another id"),
    ("sticky default", CARD, lambda e: tag(e, "source").update(default=["vima"]), "give it to the dashboard"),
]


@pytest.mark.parametrize(("path", "slip", "told"), [case[1:] for case in SLIPS], ids=[case[0] for case in SLIPS])
def test_a_slip_that_the_validator_lets_through_is_found(path: str, slip: Slip, told: str, tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    shutil.copytree(FOLDER, folder)
    file = folder / PSP / path
    entity = yaml.safe_load(file.read_text(encoding="utf-8"))
    slip(entity)
    file.write_text(json.dumps(entity), encoding="utf-8")
    assert any(told in line for line in problems(folder)), problems(folder)


def test_one_id_for_two_cards_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    shutil.copytree(FOLDER, folder)
    shutil.copy(folder / PSP / CARD, folder / PSP / "everyone" / "copy.yaml")
    assert any("has the entity_id of" in line for line in problems(folder))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("card: close_by_currency, csv", "card: overview, csv", "attaches overview, which is not on"),
        ("reads: [PSP, Everyone, Sales]", "reads: [PSP, Everyone, Sale]", "reads Sale, which is no collection"),
        ("filters: {period: [yesterday]}", "filters: {perod: [yesterday]}", "sets perod, which"),
        ("    day: mon\n", "", "a weekly one needs a day"),
        ("\nsettings:\n", "\nsetings: {}\nsettings:\n", "setings"),
    ],
)
def test_a_slip_in_the_deployment_file_is_found(old: str, new: str, told: str, tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    shutil.copytree(FOLDER, folder)
    text = (folder / "deploy.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "deploy.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(told in line for line in problems(folder)), problems(folder)
