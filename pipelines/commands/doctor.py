"""`psp doctor`: every dependency, setting, connection and browser looked at, each with what to do when it is wrong."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.commands import checks
from pipelines.commands.checks import Check, Finding, run_check
from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts, running_providers
from pipelines.core.errors import PlatformError, SettingsError
from pipelines.core.settings import Settings, load_settings

ALONE: dict[str, Check] = {
    "Python": checks.check_python,
    "Settings": checks.check_settings,
    "Home": checks.check_home,
    "Disk": checks.check_disk,
    "Ports": checks.check_ports,
    "Chromium": checks.check_browser,
    "Models": checks.check_models,
    "Dagster": checks.check_dagster,
    "Metabase": checks.check_metabase,
}
"""Checks that need nothing to run."""

PROVIDERS: dict[str, Check] = {"Vima": checks.check_vima, "PayShack": checks.check_payshack}
"""Checks against the providers; a sandbox one must run for it."""

COMMAND = "psp doctor"
MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check everything the platform needs, and say how to mend what is wrong.

    Python, settings, PSP_HOME, disk, ports, Chromium, models, Dagster, the database, and both providers with their
    credentials. What does not run is started for the check and stopped again. Exit code 1 when a line says fail.
    """
    screen = Screen()
    findings = []
    for finding in _findings(screen):
        findings.append(finding)
        if not as_json:
            screen.out.print(f"{MARKS[finding.state]} {finding.name:<10}", end="")
            screen.out.print(finding.text, markup=False)
            if finding.fix and finding.state != "ok":
                screen.out.print(f"                fix: {finding.fix}", markup=False)
    if as_json:
        screen.json({"ok": all(one.state != "fail" for one in findings), "checks": [asdict(one) for one in findings]})
    if any(one.state == "fail" for one in findings):
        raise typer.Exit(1)


def _findings(screen: Screen) -> Iterator[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding(name="Settings", state="fail", text=error.message, fix=error.fix)
        return
    for name, check in ALONE.items():
        yield run_check(name, check, settings)
    yield _while_up("Database", checks.check_postgres, settings, running_parts(settings, COMMAND, screen))
    for name, check in PROVIDERS.items():
        up = running_providers(settings, COMMAND, screen, frozenset({name.lower()}))
        yield _while_up(name, check, settings, up)


def _while_up(name: str, check: Check, settings: Settings, parts: AbstractContextManager[object]) -> Finding:
    try:
        with parts:
            return run_check(name, check, settings)
    except PlatformError as error:
        return Finding(name=name, state="fail", text=error.message, fix=error.fix)
