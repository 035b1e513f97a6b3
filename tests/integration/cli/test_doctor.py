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


@pytest.mark.parametrize(
    ("change", "broken", "word"),
    [
        ({"VIMA_API_KEY": "invented-wrong-key"}, "Vima", "refused the credentials"),
        ({"PAYSHACK_PASSWORD": "invented-wrong-password"}, "PayShack", "refused the login"),
        ({"PAYSHACK_PORTAL_URL": "http://127.0.0.1:9"}, "PayShack", "does not open"),
        ({"PSP_CHROMIUM": "/nonexistent"}, "Chromium", "PSP_CHROMIUM"),
        ({"PSP_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/psp"}, "Database", "not reachable"),
        ({"METABASE_URL": "http://127.0.0.1:9"}, "Metabase", "does not answer"),
    ],
)
def test_trouble_is_on_its_own_line(outside: dict[str, str], change: dict[str, str], broken: str, word: str) -> None:
    answer = run_psp("doctor", "--json", environment=outside | change)
    assert answer.code == 1, answer.out
    found = {check["name"]: check for check in json.loads(answer.out)["checks"]}
    assert found[broken]["state"] == "fail"
    assert word in found[broken]["text"]
    assert found[broken]["fix"]
    for secret in change.values():
        assert "invented" not in secret or secret not in answer.out


def test_wrong_settings_are_all_it_says(home: Path) -> None:
    answer = run_psp("doctor", "--json", environment={"PSP_HOME": str(home), "PSP_DAGSTER_PORT": "none"})
    assert answer.code == 1
    assert states(answer.out) == {"Settings": "fail"}
    assert not home.exists()
