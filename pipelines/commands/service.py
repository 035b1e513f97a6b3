"""`psp service` and `psp prepare`: the parts of a deployment, one process each, for containers and service managers."""

import os
import sys
import time
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from pipelines.commands.console import Screen
from pipelines.commands.parts import start_database
from pipelines.commands.services import (
    Service,
    code_server_service,
    daemon_service,
    dagster_environment,
    sidecar_service,
    webserver_service,
)
from pipelines.core.errors import DatabaseError, SettingsError
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.settings import PROJECT_ROOT, Settings, load_settings

WAIT_SECONDS = 60.0
RETRY_SECONDS = 1.0


def service(
    name: Annotated[Literal["code-server", "webserver", "daemon", "sidecar"], typer.Argument(help="Which process.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 inside a container.")] = "127.0.0.1",
    code_server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where Dagster's code server listens, for every Dagster process.")
    ] = "127.0.0.1:4000",
) -> None:
    """Run one long-running process of a deployment in the foreground, until it is told to end.

    `psp up` does all of this on one machine. In production each part is a service of its own, over PSP_DATABASE_URL:
    run `psp prepare` once, then one `psp service` each. See docker-compose.yml.
    """
    settings = load_settings()
    if settings.psp_database_url is None:
        raise SettingsError("`psp service` needs a database server.", fix="set PSP_DATABASE_URL, or use `psp up`")
    url = start_database(settings)
    where = _address(code_server)
    environment = {} if name == "sidecar" else dagster_environment(settings, url, where)
    chosen: dict[str, Callable[[], Service]] = {
        "code-server": lambda: code_server_service((host, where[1]), environment),
        "webserver": lambda: webserver_service(settings, environment, host=host),
        "daemon": lambda: daemon_service(environment),
        "sidecar": lambda: sidecar_service(settings, host=host),
    }
    os.chdir(PROJECT_ROOT)
    # The process becomes the service: signals and exit code are the service's own.
    arguments = [sys.executable, "-m", *chosen[name]().arguments]
    os.execve(sys.executable, arguments, {**os.environ, **environment})  # noqa: S606 - our own interpreter, no shell


def prepare() -> None:
    """Lay out the warehouse and Dagster's storage in PSP_DATABASE_URL and parse the models, then end.

    Safe to repeat. A deployment runs it once before its services; it waits a minute for the database.
    """
    settings, screen = load_settings(), Screen()
    with screen.step("Warehouse") as step:
        url = _patiently(settings)
        prepare_warehouse(url)
        step.done("Warehouse: schemas, roles and raw log are there")
    with screen.step("Dagster's storage") as step:
        os.environ |= dagster_environment(settings, url, ("127.0.0.1", 4000))
        import dagster as dg

        dg.DagsterInstance.get().dispose()
        step.done("Dagster's storage is there")
    with screen.step("Models") as step:
        from pipelines.defs.model.manifest import parsed_project

        parsed_project(settings)
        step.done("Models are parsed")


def _patiently(settings: Settings) -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return start_database(settings)
        except DatabaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("write --code-server as HOST:PORT")
    return host, int(port)
