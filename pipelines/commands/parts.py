"""Database and providers for a command that runs once: it uses what is there and starts the rest for its own time.

`psp up` owns this PSP_HOME   -> its parts are used, and left alone
nobody does                   -> what is missing is started, and stopped at the end
another single command does   -> it is waited for
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pipelines.commands.console import Screen
from pipelines.commands.owner import UP, OwnerRecord, Ownership, current_owner, owning
from pipelines.commands.processes import Child, stop_children
from pipelines.commands.services import SANDBOX, Service, require_free, sandbox_services
from pipelines.core import embedded_postgres
from pipelines.core.errors import DatabaseError, PlatformError
from pipelines.core.postgres import connect, prepare_warehouse
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

START_SECONDS = 60.0
POLL_SECONDS = 0.1


@contextmanager
def running_parts(
    settings: Settings, command: str, screen: Screen, *, providers: frozenset[str] = frozenset(), prepare: bool = False
) -> Iterator[str]:
    """The database's URL, with the database and the sandbox `providers` (vima, payshack) up for the block.

    `prepare` also lays out an empty database. Raises DatabaseError, PortInUseError or PlatformError.
    """
    with _parts(settings, command, screen, providers, with_database=True):
        url = database_url(settings)
        if prepare:
            prepare_warehouse(url)
        else:
            connect(url).close()
        yield url


@contextmanager
def running_providers(settings: Settings, command: str, screen: Screen, providers: frozenset[str]) -> Iterator[None]:
    """The sandbox `providers` up for the block, where they are wanted instead of real ones; no database."""
    with _parts(settings, command, screen, providers, with_database=False):
        yield


@contextmanager
def _parts(
    settings: Settings, command: str, screen: Screen, providers: frozenset[str], *, with_database: bool
) -> Iterator[None]:
    services = [service for service in sandbox_services(settings) if service.name.removeprefix(SANDBOX) in providers]
    own_database = with_database and settings.psp_database_url is None
    if not services and not own_database:
        yield
        return
    owner = current_owner(settings)
    if owner is not None and owner.command == UP:
        _await_platform(settings, owner, services)
        yield
        return
    with owning(settings, command, wait=_waiting(screen)) as ownership, ExitStack() as stack:
        if own_database:
            stack.enter_context(_database(settings))
        stack.enter_context(_providers(settings, services, ownership))
        yield


def start_database(settings: Settings) -> str:
    """The URL of a database that answers: the outside one, else the embedded one, started if need be."""
    if settings.psp_database_url is None:
        return embedded_postgres.start(settings)
    url = database_url(settings)
    connect(url).close()
    return url


def service_child(settings: Settings, service: Service, *, mark: str) -> Child:
    """The service as a process that has yet to be started."""
    return Child(
        service.name,
        service.arguments,
        mark=mark,
        environment={"PSP_HOME": str(settings.psp_home), **service.environment},
        log=settings.psp_home / "logs" / f"{service.name}.log",
        waits_for_its_children=service.waits_for_its_children,
    )


def await_ready(service: Service, child: Child, *, seconds: float = START_SECONDS) -> None:
    """Wait until the service answers. Raises PlatformError with its last words when it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not service.is_ready():
        code = child.exit_code
        if code is not None:
            raise start_failure(service, child, f"ended with code {code}")
        if time.monotonic() > deadline:
            raise start_failure(service, child, f"is not ready after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def start_failure(service: Service, child: Child, what: str) -> PlatformError:
    """Why a service is not there, in its own last words."""
    said = child.last_line().removeprefix("error: ")
    return PlatformError(f"{service.title} {what}{f': {said}' if said else ''}", fix=f"see {child.log}")


@contextmanager
def _database(settings: Settings) -> Iterator[None]:
    """The embedded server; one that ran before is left running."""
    was_running = embedded_postgres.is_running(settings)
    try:
        embedded_postgres.start(settings)
        yield
    finally:
        if not was_running:
            embedded_postgres.stop(settings)


@contextmanager
def _providers(settings: Settings, services: list[Service], ownership: Ownership) -> Iterator[None]:
    if not services:
        yield
        return
    # Heavy, and only for invented data.
    from pipelines.sandbox.state import ensure_state

    require_free([service.port for service in services if service.port is not None])
    ensure_state(settings)
    children = []
    try:
        for service in services:
            child = service_child(settings, service, mark=ownership.mark)
            children.append(child)
            child.start()
        for service, child in zip(services, children, strict=True):
            await_ready(service, child)
        yield
    finally:
        stop_children(children)


def _await_platform(settings: Settings, owner: OwnerRecord, services: list[Service]) -> None:
    """`psp up` may have begun a moment ago."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        has_database = settings.psp_database_url is not None or embedded_postgres.is_running(settings)
        if has_database and all(service.is_ready() for service in services):
            return
        if time.monotonic() > deadline or current_owner(settings) is None:
            raise DatabaseError(
                f"`{owner.command}` (process {owner.pid}) has not come up.", fix="look at it, or stop it: `psp down`"
            )
        time.sleep(POLL_SECONDS)


def _waiting(screen: Screen) -> Callable[[OwnerRecord], bool]:
    told: list[int] = []

    def wait(other: OwnerRecord) -> bool:
        if other.command == UP:
            return False
        if other.pid not in told:
            told.append(other.pid)
            screen.say(f"  waiting for `{other.command}` (process {other.pid}) to end …")
        return True

    return wait
