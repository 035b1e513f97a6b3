"""The project's own habits: names, layers, descriptions, contracts, tested keys. What a reviewer asks for first."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.settings import load_settings
from pipelines.defs.model.manifest import PROJECT, parsed_project
from tests.conftest import take_parsed_models

Node = Mapping[str, Any]

NAMES = {
    "staging": r"stg_(vima|payshack|bank)__[a-z_]+",
    "intermediate": r"int_(transactions|reconciliation|balances|bank|breaks)__[a-z_]+",
    "marts": r"(fct|dim|rpt)_[a-z_0-9]+",
    "marts_pii": r"pii_[a-z_]+",
}
PERSONAL = re.compile(r"(?!masked_|.*_key$)(.*(payer|bene_|e_?mail|phone|vpa|contact|user_id|ip_addr|account))")
WITHOUT_RULES = frozenset(
    {
        # One distinct list of names in each; what is in them is tested through their readers and on random arrivals.
        *(
            "stg_payshack__payins",
            "stg_payshack__payouts",
            "stg_payshack__resellers",
            "stg_payshack__service_providers",
        ),
        *("int_transactions__current", "int_reconciliation__keys_changed", "fct_reconciliation"),
        *("int_bank__lines", "int_bank__lines_to_match"),
        "pii_transaction_parties",
        # The log as it is.
        "fct_break_events",
    }
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, parsed_models: Path) -> Node:
    home = tmp_path_factory.mktemp("home")
    take_parsed_models(parsed_models, home)
    return parsed_project(load_settings({"PSP_HOME": str(home)})).as_json()


@pytest.fixture(scope="module")
def models(manifest: Node) -> list[Node]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


@pytest.fixture(scope="module")
def marts(models: list[Node]) -> list[Node]:
    return [model for model in models if model["schema"] == "marts"]


def test_names_say_layer_and_process(models: list[Node]) -> None:
    wrong = [m["name"] for m in models if not re.fullmatch(NAMES[m["schema"]], m["name"])]
    assert not wrong


def test_data_flows_from_layer_to_layer(manifest: Node, models: list[Node]) -> None:
    allowed = {
        "staging": {"raw", "staging", "reference"},
        "marts": {"staging", "intermediate", "marts", "marts_pii", "reference", "raw", "closing", "breaks"},
        "marts_pii": {"intermediate"},
    }
    allowed["intermediate"] = {"staging", "intermediate", "reference", "raw", "breaks"}
    # The life of breaks begins where reconciliation has spoken; nobody outside needs its steps.
    agreed = {"int_breaks__evaluated reads fct_reconciliation"}
    agreed |= {
        f"int_breaks__bank_evaluated reads {fact}"
        for fact in ("fct_bank_settlements", "fct_bank_lines", "fct_movements")
    }
    # The first two facts of the bank are public; what is sought among them in between is a step.
    agreed |= {"int_bank__lines_to_match reads fct_bank_dues"}
    agreed |= {f"int_bank__batch_sets reads {fact}" for fact in ("fct_bank_dues", "fct_bank_reference_fits")}
    everything = {**manifest["nodes"], **manifest["sources"]}
    wrong = [
        f"{model['name']} reads {everything[parent]['name']}"
        for model in models
        for parent in model["depends_on"]["nodes"]
        if everything[parent]["schema"] not in allowed[model["schema"]]
    ]
    assert set(wrong) == agreed


def test_every_model_says_its_grain_and_every_column_what_it_means(models: list[Node]) -> None:
    assert [m["name"] for m in models if not m["description"].startswith("One row per ")] == []
    assert [f"{m['name']}.{c['name']}" for m in models for c in m["columns"].values() if not c["description"]] == []
    assert [m["name"] for m in models if not m["columns"]] == []


def test_every_seed_and_its_columns_are_described_and_typed(manifest: Node) -> None:
    for seed in (node for node in manifest["nodes"].values() if node["resource_type"] == "seed"):
        header = (PROJECT / seed["original_file_path"]).read_text(encoding="utf-8").split("\n", 1)[0].split(",")
        assert seed["description"], seed["name"]
        assert {name: bool(column["description"]) for name, column in seed["columns"].items()} == dict.fromkeys(
            header, True
        ), seed["name"]
        assert set(seed["config"]["column_types"]) == set(header), seed["name"]


def test_every_source_is_described_and_the_record_logs_join_the_raw_assets(manifest: Node) -> None:
    for source in manifest["sources"].values():
        assert source["description"], source["name"]
        assert all(column["description"] for column in source["columns"].values()), source["name"]
        if "payload" in source["columns"]:
            assert source["config"]["meta"]["dagster"]["asset_key"] == ["raw", source["name"]]
            assert source["loaded_at_field"] == "observed_at"


def test_every_mart_is_a_contract_with_an_owner(marts: list[Node]) -> None:
    assert len(marts) >= 7
    for mart in marts:
        assert mart["config"]["contract"]["enforced"], mart["name"]
        assert mart["access"] == "public", mart["name"]
        assert mart["config"]["group"], mart["name"]
        assert mart["config"]["meta"]["owner"].count("@") == 1, mart["name"]
        assert all(question.endswith("?") for question in mart["config"]["meta"]["questions"]), mart["name"]
        assert all(column["data_type"] for column in mart["columns"].values()), mart["name"]


def test_the_primary_key_of_every_mart_is_declared_and_tested(manifest: Node, marts: list[Node]) -> None:
    for mart in marts:
        keys = next(c["columns"] for c in mart["constraints"] if c["type"] == "primary_key")
        found = [
            [test["column_name"]]
            if test["test_metadata"]["name"] == "unique"
            else test["test_metadata"]["kwargs"]["columns"]
            for test in _tests_of(manifest, mart)
            if test["test_metadata"]["name"] in ("unique", "unique_combination")
        ]
        assert keys in found, mart["name"]
        for key in keys:
            constraints = mart["columns"][key]["constraints"]
            assert any(constraint["type"] == "not_null" for constraint in constraints), f"{mart['name']}.{key}"


def _tests_of(manifest: Node, mart: Node) -> Iterator[Node]:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test" and node.get("attached_node") == mart["unique_id"]:
            yield node


def test_no_mart_has_a_personal_column(marts: list[Node]) -> None:
    assert [f"{m['name']}.{c}" for m in marts for c in m["columns"] if PERSONAL.match(c)] == []


def test_no_amount_is_a_float(marts: list[Node]) -> None:
    types = {column["data_type"] for mart in marts for column in mart["columns"].values()}
    assert not [kind for kind in types if re.search(r"float|double|real|money", kind)]


def test_every_model_with_a_rule_has_unit_tests(manifest: Node, models: list[Node]) -> None:
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    assert {model["name"] for model in models} - tested == WITHOUT_RULES


def test_every_cell_and_every_reason_is_expected_by_hand_somewhere(manifest: Node) -> None:
    """What unit tests expect is written from the rules; a cell or reason that none of them names is only believed."""
    expected = [
        (test["model"], row)
        for test in manifest["unit_tests"].values()
        if test["model"] in ("int_reconciliation__compared", "int_reconciliation__judged")
        for row in test["expect"]["rows"]
    ]
    said = {word for _, row in expected for value in row.values() for word in re.findall(r"\w+", str(value))}
    assert {row["reason"] for row in _seed("reconciliation_reasons")} - said == set()
    cells = {
        (test["name"].split("_")[0], *re.match(r"(\w+) x (\w+) at", str(row["reconciliation_id"])).groups())  # type: ignore[union-attr]
        for test in manifest["unit_tests"].values()
        if test["name"].endswith("_against_every_payshack_class")
        for row in test["expect"]["rows"]
    }
    assert {(row["flow"], row["vima_class"], row["payshack_class"]) for row in _seed("pair_matrix")} - cells == set()


def _seed(name: str) -> list[dict[str, str]]:
    with (PROJECT / "seeds" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_singular_test_says_what_breaks() -> None:
    silent = [
        path.name
        for path in (PROJECT / "tests").glob("*.sql")
        if not path.read_text(encoding="utf-8").startswith("-- If this fails, ")
    ]
    assert not silent


def test_no_file_is_longer_than_a_person_reads() -> None:
    files = [path for suffix in ("sql", "yml", "md") for path in PROJECT.rglob(f"*.{suffix}")]
    long = {path.name: lines for path in files if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300}
    # Every shared column once, a line each.
    assert set(long) <= {"columns.md", "metrics.md"}, json.dumps(long)


def test_the_page_of_marts_says_what_the_models_say() -> None:
    script = Path(__file__).parents[3] / "docs" / "generate_marts.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
