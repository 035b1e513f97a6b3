"""`psp status` and `psp down`: looking at a running platform, and stopping it from another shell."""

import os
import signal
from typing import Annotated, Any

import typer

from pipelines.commands.console import Screen
from pipelines.commands.health import SourceHealth, in_words, read_health
from pipelines.commands.owner import OwnerRecord, current_owner, owning
from pipelines.commands.processes import wait_until_gone
from pipelines.core import embedded_postgres
from pipelines.core.errors import ConflictError, DatabaseError, PlatformError
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings, load_settings

STOP_SECONDS = 90.0


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Say whether the platform runs here, with which processes, and how fresh the data are.

    Exit code 0 when it is up and ready, 1 when it is not.
    """
    settings, screen = load_settings(), Screen()
    owner = current_owner(settings)
    phase = str(owner.state.get("phase")) if owner else "stopped"
    health = _health(settings)
    if as_json:
        screen.json(_as_json(settings, owner, phase, health))
    else:
        _show(settings, screen, owner, phase, health)
    if phase != "ready":
        raise typer.Exit(1)


def down() -> None:
    """Stop the platform that runs in this PSP_HOME, from another terminal.

    Waits until everything has ended. Also ends what a killed `psp up` has left behind. Nothing running is no error.
    """
    settings, screen = load_settings(), Screen()
    owner = current_owner(settings)
    if owner is None:
        with screen.step("Stopping") as step, owning(settings, "psp down"):
            stopped = settings.psp_database_url is None and embedded_postgres.stop(settings)
            step.done("Nothing was running" if not stopped else "Stopped the embedded PostgreSQL that was left running")
        return
    with screen.step(f"Stopping `{owner.command}` (process {owner.pid})") as step:
        try:
            os.kill(owner.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has just ended
        except PermissionError:
            raise ConflictError(
                f"Process {owner.pid} belongs to another user.", fix="let that user stop it, or use sudo"
            ) from None
        if not wait_until_gone(owner.pid, owner.born, seconds=STOP_SECONDS):
            raise PlatformError(
                f"Process {owner.pid} has not ended within {STOP_SECONDS:.0f} s.",
                fix=f"look at it; if it hangs, `kill -9 {owner.pid}` and run `psp down` again",
            )
        step.done(f"Stopped `{owner.command}`")


def _health(settings: Settings) -> list[SourceHealth]:
    if settings.psp_database_url is None and not embedded_postgres.is_running(settings):
        return []
    try:
        return read_health(database_url(settings))
    except DatabaseError:
        return []


def _as_json(settings: Settings, owner: OwnerRecord | None, phase: str, health: list[SourceHealth]) -> dict[str, Any]:
    now = settings.clock()
    state = owner.state if owner else {}
    return {
        "phase": phase,
        "command": owner.command if owner else None,
        "pid": owner.pid if owner else None,
        "started_at": owner.started_at if owner else None,
        "addresses": state.get("addresses", {}),
        "processes": state.get("children", []),
        "sources": [
            {
                "source": one.source,
                "rows": one.rows,
                "rows_quarantined": one.quarantined,
                "watermark": one.watermark,
                "lag_seconds": one.lag_seconds(now),
                "last_run": one.last_run,
                "last_error": one.last_error,
            }
            for one in health
        ],
    }


def _show(
    settings: Settings, screen: Screen, owner: OwnerRecord | None, phase: str, health: list[SourceHealth]
) -> None:
    if owner is None:
        screen.out.print("The platform is not running. Start it with `psp up`.")
    else:
        screen.out.print(f"`{owner.command}` is {phase} (process {owner.pid}, since {owner.started_at}).")
        for name, address in owner.state.get("addresses", {}).items():
            screen.out.print(f"  {name:<14}{address}")
        for child in owner.state.get("children", []):
            restarts = f", restarted {child['restarts']} times" if child["restarts"] else ""
            screen.out.print(f"  {child['name']:<18}process {child['pid']}{restarts}")
    if health:
        screen.out.print(in_words(health, settings.clock()))
