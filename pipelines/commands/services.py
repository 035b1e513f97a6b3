"""The long-running processes of the platform: what each is started with, where it listens, when it is ready.

    sandbox-vima, sandbox-payshack    the two providers, where no real ones are set
    sidecar                           read API, exports, WebSocket
    code-server                       Dagster's definitions and the runs; a socket in PSP_HOME/run, or a port
    webserver, daemon                 Dagster's UI and its sensors; both ask the one code server

`psp up` starts them all on one machine; `psp service NAME` runs one in the foreground, for a container or a service
manager. `dagster dev` would start an interpreter more and stop more slowly, and gives no readiness of its parts.
"""

import json
import os
import shutil
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipelines.core.errors import PlatformError, PortInUseError, SettingsError
from pipelines.core.postgres import sqlalchemy_url
from pipelines.core.redaction import register_secrets
from pipelines.core.settings import PROJECT_ROOT, Settings

LOOPBACK = "127.0.0.1"
DEFINITIONS = "pipelines.definitions"
LOCATION = "psp"  # as in workspace.yaml
SANDBOX = "sandbox-"
CODE_SERVER = "code-server"
SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS
PROBE_SECONDS = 1.0
GRACE_SECONDS = 3  # for calls to the code server; Dagster would wait a minute

CodeServer = Path | tuple[str, int]
"""Where Dagster's code server listens: a socket on this machine, or host and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A TCP port on loopback and the setting that chooses it."""

    number: int
    setting: str
    used_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process. `arguments` are those of `python -m`."""

    name: str
    title: str
    arguments: tuple[str, ...]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: Port | None = None
    waits_for_its_children: bool = False


def sandbox_services(settings: Settings) -> list[Service]:
    """The sandbox providers that these settings need."""
    services = []
    if settings.vima_is_sandbox:
        port = Port(number=settings.psp_sandbox_vima_port, setting="PSP_SANDBOX_VIMA_PORT", used_by="the sandbox Vima")
        services.append(_sandbox_service("vima", "Vima", port))
    if settings.payshack_is_sandbox:
        number = settings.psp_sandbox_payshack_port
        port = Port(number=number, setting="PSP_SANDBOX_PAYSHACK_PORT", used_by="the sandbox PayShack")
        services.append(_sandbox_service("payshack", "PayShack", port))
    return services


def _sandbox_service(provider: str, title: str, port: Port) -> Service:
    return Service(
        name=f"{SANDBOX}{provider}",
        title=f"the sandbox {title}",
        arguments=("pipelines.sandbox", provider),
        is_ready=lambda: is_listening(port.number),
        port=port,
    )


def sidecar_service(settings: Settings, *, host: str = LOOPBACK) -> Service:
    """The FastAPI sidecar."""
    url = f"http://{LOOPBACK}:{settings.psp_sidecar_port}/api/v1/health"
    return Service(
        name="sidecar",
        title="the sidecar",
        arguments=("pipelines.sidecar", "--host", host),
        # 503 says that a part behind it is not there, and that it answers.
        is_ready=lambda: answers(url, accepted=(200, 503)),
    )


def code_server_service(where: CodeServer, environment: Mapping[str, str]) -> Service:
    """Dagster's code server, which also starts the runs."""
    if isinstance(where, Path):
        at: tuple[str, ...] = ("--socket", str(where))
    else:
        at = ("--host", where[0], "--port", str(where[1]))
    return Service(
        name=CODE_SERVER,
        title="Dagster's code server",
        arguments=("dagster", "api", "grpc", *at, "--module-name", DEFINITIONS, "--location-name", LOCATION),
        environment={**environment, "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": str(GRACE_SECONDS)},
        is_ready=lambda: is_listening(where),
        waits_for_its_children=True,
    )


def webserver_service(settings: Settings, environment: Mapping[str, str], *, host: str = LOOPBACK) -> Service:
    """Dagster's UI."""
    port = str(settings.psp_dagster_port)
    return Service(
        name="webserver",
        title="Dagster's web server",
        arguments=("dagster_webserver", "--host", host, "--port", port, "--workspace", _workspace(environment)),
        environment=environment,
        is_ready=lambda: answers(f"http://{LOOPBACK}:{port}/server_info"),
    )


def daemon_service(environment: Mapping[str, str]) -> Service:
    """Dagster's daemon: sensors, schedules, queue. It has no port; that it lives must do."""
    return Service(
        name="daemon",
        title="Dagster's daemon",
        arguments=("dagster._daemon", "run", "--workspace", _workspace(environment)),
        environment=environment,
        is_ready=lambda: True,
    )


def needed_ports(settings: Settings) -> list[Port]:
    """Every port that `psp up` listens on under these settings."""
    return [
        Port(number=settings.psp_dagster_port, setting="PSP_DAGSTER_PORT", used_by="Dagster"),
        Port(number=settings.psp_sidecar_port, setting="PSP_SIDECAR_PORT", used_by="the sidecar"),
        *(service.port for service in sandbox_services(settings) if service.port is not None),
    ]


def require_free(ports: list[Port]) -> None:
    """Raise PortInUseError naming every port that is taken and the setting that moves it, or that is wanted twice."""
    for place, port in enumerate(ports):
        twin = next((other for other in ports[:place] if other.number == port.number), None)
        if twin is not None:
            raise PortInUseError(
                f"Port {port.number} is set for both {twin.used_by} and {port.used_by}.",
                fix=f"set {port.setting} to another port",
            )
    taken = [port for port in ports if not is_free(port.number)]
    if taken:
        named = ", ".join(f"{port.number} (for {port.used_by})" for port in taken)
        verb = "port is" if len(taken) == 1 else "ports are"
        raise PortInUseError(
            f"{len(taken)} {verb} in use by another program: {named}.",
            fix=f"stop that program, or set {', '.join(port.setting for port in taken)} to another port",
        )


def is_free(port: int) -> bool:
    """Whether the loopback port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(where: int | CodeServer) -> bool:
    """Whether somebody accepts connections there."""
    if isinstance(where, Path):
        family, address = socket.AF_UNIX, str(where)
        with socket.socket(family) as probe:
            probe.settimeout(PROBE_SECONDS)
            return probe.connect_ex(address) == 0
    host, port = (LOOPBACK, where) if isinstance(where, int) else where
    try:
        with socket.create_connection((host, port), timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def answers(url: str, *, accepted: tuple[int, ...] = (200,)) -> bool:
    """Whether an HTTP server answers there as it should."""
    try:
        return httpx.get(url, timeout=PROBE_SECONDS, trust_env=False).status_code in accepted
    except httpx.HTTPError:
        return False


def dagster_environment(settings: Settings, url: str, where: CodeServer) -> dict[str, str]:
    """What every Dagster process needs; lays DAGSTER_HOME out: instance settings and workspace.

    Raises SettingsError when DAGSTER_HOME cannot be written.
    """
    home = settings.psp_home / "dagster"
    if isinstance(where, Path):
        address: dict[str, str | int] = {"host": "localhost", "socket": str(where)}
    else:
        address = {"host": where[0], "port": where[1]}
    workspace = {"load_from": [{"grpc_server": {**address, "location_name": LOCATION}}]}
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
        (home / "workspace.yaml").write_text(json.dumps(workspace), encoding="utf-8")  # JSON is YAML
    except OSError as error:
        raise SettingsError(
            f"Dagster's home ({home}) cannot be laid out ({error.strerror}).",
            fix="set PSP_HOME to a folder that you may write",
        ) from None
    storage = sqlalchemy_url(url, search_path="dagster")
    register_secrets([storage])
    found = {"DAGSTER_HOME": str(home), "PSP_DAGSTER_URL": storage, "PSP_HOME": str(settings.psp_home)}
    return found | ({"PSP_CODE_SOCKET": str(where)} if isinstance(where, Path) else {})


def code_socket(settings: Settings) -> Path:
    """The code server's socket: in PSP_HOME/run, or in an equally private temporary folder where that path is too long.

    A socket and not a port, because whoever can reach the code server can start runs.
    """
    path = settings.psp_home / "run" / "code.sock"
    if len(str(path)) >= SOCKET_PATH_LIMIT:
        folder = Path("/tmp") / f"psp-run-{os.geteuid()}-{zlib.crc32(str(settings.psp_home).encode()):x}"  # noqa: S108
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PlatformError(f"{folder} is not private.", fix="remove it, or set PSP_HOME to a shorter path")
        path = folder / "code.sock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    return path


def _workspace(environment: Mapping[str, str]) -> str:
    return str(Path(environment["DAGSTER_HOME"]) / "workspace.yaml")
