"""What the documentation names exists, and what exists is named."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from pipelines.cli import app
from pipelines.core.settings import Settings

ROOT = Path(__file__).parents[3]
SETTINGS_PAGE = (ROOT / "docs" / "operations" / "settings.md").read_text(encoding="utf-8")
START_PAGE = (ROOT / "docs" / "operations" / "start.md").read_text(encoding="utf-8")
DEVELOPMENT_PAGE = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_setting_is_described_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", SETTINGS_PAGE, re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        told = rows[name.upper()].strip().strip("`")
        if field.default is not None:
            assert told == str(field.default), name
        else:
            assert told in ("unset", "PSP_HOME/api_keys.json"), name


def test_every_secret_is_called_one() -> None:
    for name, field in Settings.model_fields.items():
        if "Secret" in str(field.annotation):
            line = next(line for line in SETTINGS_PAGE.splitlines() if line.startswith(f"| `{name.upper()}`"))
            assert "Secret." in line, name


def test_example_file_names_only_settings() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"^#? ?([A-Z][A-Z_]+)=", text, re.MULTILINE)
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_command_is_described() -> None:
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"psp {name}" in START_PAGE, name


def test_every_command_teaches_itself() -> None:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        for inner in getattr(command, "commands", {name: command}).values():
            assert len(inner.help or "") > 80, name
            for parameter in inner.params:
                assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_every_make_target_is_described() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    assert targets == phony
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", DEVELOPMENT_PAGE + README, re.MULTILINE))
    assert named == targets


def test_marts_of_the_readme_are_the_marts_of_the_project() -> None:
    named = set(re.findall(r"`marts\.(\w+)`", README))
    models = {path.stem for path in (ROOT / "dbt_project" / "models" / "marts").rglob("*.sql")}
    assert named == models


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_compose_file_runs_what_exists() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    commands = get_command(app).commands  # type: ignore[attr-defined]
    services = compose["services"]
    assert set(services) == {
        *("postgres", "provision", "code-server", "webserver", "daemon", "sidecar"),
        *("metabase", "dashboards", "mail"),
        *("sandbox-vima", "sandbox-payshack"),
    }
    for name, service in services.items():
        if service.get("image", "").startswith("psp-data-platform"):
            assert service["user"] == "10001"
            if name.startswith("sandbox-"):
                assert [*service["entrypoint"], f"sandbox-{service['command'][0]}"] == [
                    *("python", "-m", "pipelines.sandbox"),
                    name,
                ]
            else:
                assert service["command"][0] in commands
                assert service["command"][0] in ("prepare", "dashboards") or service["command"][1] == name
        assert name in ("provision", "dashboards") or "healthcheck" in service
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        variables = service.get("environment", {})
        for variable in variables:
            if variable.startswith(("PSP_", "VIMA_", "PAYSHACK_")):
                assert variable.removesuffix("_FILE").lower() in Settings.model_fields
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    secret = [name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)]
    text = str(services)
    for name in secret:
        assert f"'{name.upper()}':" not in text, f"{name} is given in the clear"


def test_compose_file_asks_no_registry_for_a_moving_image() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    for service in compose["services"].values():
        assert not service["image"].endswith(("latest", ":"))
        assert ":" in service["image"]
