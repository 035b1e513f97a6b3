"""`psp up`: the whole platform on one machine, from nothing to reconciled marts, and everything stopped at the end.

    ports -> PostgreSQL -> sandbox, sidecar, first load (it imports and parses meanwhile) -> Dagster's storage
          -> code server -> first load done, marts hold data -> web server, daemon -> watch until asked to stop

Order of the processes: what the first data need comes first; the daemon comes last, so that its sensors go on where
the first load has ended.
"""

import webbrowser
from typing import Annotated

import typer

from pipelines.commands.console import Screen, is_interactive
from pipelines.commands.first_data import FirstLoad
from pipelines.commands.interrupts import signals_counted
from pipelines.commands.owner import UP, Ownership, owning
from pipelines.commands.parts import start_database
from pipelines.commands.services import (
    CODE_SERVER,
    LOOPBACK,
    code_server_service,
    code_socket,
    daemon_service,
    dagster_environment,
    needed_ports,
    require_free,
    sandbox_services,
    sidecar_service,
    webserver_service,
)
from pipelines.commands.supervisor import Supervisor
from pipelines.commands.watch import watch
from pipelines.core import embedded_postgres
from pipelines.core.browser import find_browser
from pipelines.core.errors import BrowserError
from pipelines.core.postgres import connect, prepare_warehouse
from pipelines.core.runtime import payshack_access
from pipelines.core.settings import Settings, load_settings

PATIENCE_SECONDS = 15.0
HURRY_SECONDS = 2.0


def up(
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open Dagster's page in your browser when all is ready.")
    ] = False,
) -> None:
    """Start the whole platform, load, and keep polling until Ctrl-C.

    Starts an embedded PostgreSQL and two sandbox providers where none are configured, then Dagster and the sidecar;
    loads once, builds the models, prints where everything is, and shows how fresh the data are. Ctrl-C (or `psp down`
    in another terminal) stops all of it in order. It is safe to repeat: everything it has loaded is still there.
    """
    settings, screen = load_settings(), Screen()
    with owning(settings, UP) as ownership:
        require_free(needed_ports(settings))
        _require_browser(settings)
        supervisor = Supervisor(settings, mark=ownership.mark, tell=lambda text: screen.say(f"  [yellow]![/] {text}"))
        try:
            _start(settings, supervisor, ownership, screen, open_page=not no_browser)
            watch(settings, supervisor, ownership, screen)
        except KeyboardInterrupt:
            screen.say()
        finally:
            _stop(settings, supervisor, ownership, screen)


def _require_browser(settings: Settings) -> None:
    """The portal is opened in a browser, so without one nothing can come of it."""
    if find_browser(settings) is None:
        raise BrowserError(
            "Chromium is absent.", fix="run `make install`, install Chromium, or set PSP_CHROMIUM to its path"
        )


def _start(
    settings: Settings, supervisor: Supervisor, ownership: Ownership, screen: Screen, *, open_page: bool
) -> None:
    screen.say(f"[bold]psp up[/]  [dim]PSP_HOME {settings.psp_home}[/]")
    with screen.step("PostgreSQL") as step:
        url = start_database(settings)
        prepare_warehouse(url)
        with connect(url) as connection:
            version, port = connection.info.server_version // 10000, connection.info.port
        kind = "embedded" if settings.psp_database_url is None else "PSP_DATABASE_URL"
        step.done(f"PostgreSQL {version} ({kind}), port {port}")
    sandbox = sandbox_services(settings)
    if sandbox:
        from pipelines.sandbox.state import ensure_state

        ensure_state(settings)
    socket = code_socket(settings)
    environment = dagster_environment(settings, url, socket)
    load = FirstLoad(settings, environment, mark=ownership.mark)
    try:
        load.start()
        for service in sandbox:
            supervisor.start(service)
        supervisor.start(sidecar_service(settings))
        if sandbox:
            with screen.step("Sandbox providers") as step:
                supervisor.await_ready(*(service.name for service in sandbox))
                named = [f"{one.title.removeprefix('the ')} on {one.port.number}" for one in sandbox if one.port]
                step.done(f"Invented data: {', '.join(named)}")
        with screen.step("Definitions and models") as step:
            load.await_phase("storage", supervisor, step)
            # Dagster's tables are there now; two processes making them at once would collide.
            supervisor.start(code_server_service(socket, environment))
            load.await_phase("ready", supervisor, step)
            step.done("dbt project parsed, Dagster's storage ready")
        ownership.publish(phase="loading", children=supervisor.describe())
        with screen.step("First load") as step:
            load.run(url, supervisor, step)
    finally:
        load.stop()
    with screen.step("Dagster and sidecar") as step:
        supervisor.await_ready(CODE_SERVER)
        supervisor.start(webserver_service(settings, environment))
        supervisor.start(daemon_service(environment))
        supervisor.await_ready("webserver", "daemon", "sidecar")
        step.done("Dagster and sidecar are up, sensors are running")
    _tell_where(settings, ownership, supervisor, screen)
    if open_page and is_interactive():
        webbrowser.open(f"http://{LOOPBACK}:{settings.psp_dagster_port}")


def _tell_where(settings: Settings, ownership: Ownership, supervisor: Supervisor, screen: Screen) -> None:
    from pipelines.sidecar.keys import ensure_sandbox_key

    addresses = {
        "dagster": f"http://{LOOPBACK}:{settings.psp_dagster_port}",
        "sidecar": f"http://{LOOPBACK}:{settings.psp_sidecar_port}/docs",
    }
    key = ensure_sandbox_key(settings)
    remark = f"API key {key}" if key else "API key: as shown when it was made, or make one: docs/sidecar.md"
    lines = [("Dagster", addresses["dagster"], ""), ("Sidecar", addresses["sidecar"], remark)]
    if settings.payshack_is_sandbox:
        access = payshack_access(settings)
        addresses["portal"] = access.portal_url
        lines.append(("Portal", access.portal_url, f"login {access.email} / {access.password}"))
    ownership.publish(phase="ready", addresses=addresses, children=supervisor.describe())
    screen.say()
    for name, address, remark in lines:
        screen.say(f"  [bold]{name:<9}[/]{address:<30}[dim]{remark}[/]")
    screen.say(f"  [bold]{'Logs':<9}[/]{settings.psp_home / 'logs'}")
    screen.say("\n  [green]Ready.[/] Ctrl-C stops everything.")


def _stop(settings: Settings, supervisor: Supervisor, ownership: Ownership, screen: Screen) -> None:
    ownership.publish(phase="stopping")
    with signals_counted() as urgent, screen.step("Stopping") as step:
        supervisor.stop(patience=HURRY_SECONDS if urgent else PATIENCE_SECONDS)
        if settings.psp_database_url is None:
            step.note("PostgreSQL")
            embedded_postgres.stop(settings)
        step.done("Stopped, nothing is left running")
