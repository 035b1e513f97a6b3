"""`psp doctor`: all well on a fresh machine, and each kind of trouble on its own line with its fix."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.conftest import assert_nothing_left, run_psp

NAMES = {
    "Python",
    "Settings",
    "Home",
    "Disk",
    "Ports",
    "Chromium",
    "Models",
    "Dagster",
    "Metabase",
    "Database",
    "Vima",
    "PayShack",
}


def states(out: str) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(out)["checks"]}


def test_fresh_machine(platform: dict[str, str], home: Path) -> None:
    answer = run_psp("doctor", environment=platform)
    assert answer.code == 0, answer.out + answer.err
    lines = answer.out.splitlines()
    assert {line.split()[1] for line in lines if not line.startswith(" ")} == NAMES
    assert not [line for line in lines if line.startswith("fail")]
    assert_nothing_left(home, seconds=0)


WRONG_CREDENTIALS = {
    "VIMA_API_KEY": "invented-wrong-key",
    "PAYSHACK_PASSWORD": "invented-wrong-password",
    "METABASE_URL": "http://127.0.0.1:9",
}
MISSING_PARTS = {
    "PSP_CHROMIUM": "/nonexistent",
    "PSP_DATABASE_URL": "postgresql://somebody:invented-password@127.0.0.1:9/psp",
}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        (
            WRONG_CREDENTIALS,
            {"Vima": "refused the credentials", "PayShack": "refused the login", "Metabase": "does not answer"},
        ),
        (
            MISSING_PARTS,
            {"Chromium": "PSP_CHROMIUM", "PayShack": "PSP_CHROMIUM", "Database": "not reachable"},
        ),
    ],
    ids=["wrong credentials", "missing parts"],
)
def test_each_trouble_is_on_its_own_line(
    outside: dict[str, str], changes: dict[str, str], broken: dict[str, str]
) -> None:
    answer = run_psp("doctor", "--json", environment=outside | changes)
    assert answer.code == 1, answer.out
    found = {check["name"]: check for check in json.loads(answer.out)["checks"]}
    assert {name for name, check in found.items() if check["state"] == "fail"} == set(broken)
    for name, words in broken.items():
        assert words in found[name]["text"]
        assert found[name]["fix"]
    assert "invented" not in answer.out + answer.err


def test_wrong_settings_are_all_it_says(home: Path) -> None:
    answer = run_psp("doctor", "--json", environment={"PSP_HOME": str(home), "PSP_DAGSTER_PORT": "none"})
    assert answer.code == 1
    assert states(answer.out) == {"Settings": "fail"}
    assert not home.exists()
