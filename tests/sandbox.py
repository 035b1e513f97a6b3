"""The two sandbox providers for tests: real processes on free ports over a small world that stands still."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from pipelines.core.settings import Settings, load_settings
from pipelines.sandbox.state import ensure_state, open_world
from pipelines.sandbox.world import World

ROOT = Path(__file__).parents[1]
STANDING_AT = datetime(2026, 1, 15, 12, 3, tzinfo=UTC)
START_SECONDS = 60
SERVER_PORTS = ("PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT")
PROVIDER_PORTS = ("PSP_SANDBOX_VIMA_PORT", "PSP_SANDBOX_PAYSHACK_PORT")
PLATFORM_PORTS = SERVER_PORTS + PROVIDER_PORTS


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(names: Iterable[str]) -> dict[str, str]:
    """A free port for each of the settings."""
    return {name: str(free_port()) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """Running servers: the variables that lead to them, and the world that they serve."""

    environment: dict[str, str]
    world: World

    def settings(self, **changes: str) -> Settings:
        """Settings over these servers; keyword arguments are further variables."""
        return load_settings(self.environment | changes)


@contextmanager
def sandbox_providers(
    home: Path,
    *,
    orders: int = 3000,
    seed: int = 7,
    now: datetime | None = STANDING_AT,
    module: str = "pipelines.sandbox",
    **options: tuple[str, ...],
) -> Iterator[Providers]:
    """Both servers for the length of the block. `options` are arguments by server, e.g. vima=("--cursor", "inclusive").

    With `now=None` the world goes on with the clock.
    """
    environment = {
        "PSP_HOME": str(home),
        "PSP_SANDBOX_ORDERS": str(orders),
        "PSP_SANDBOX_SEED": str(seed),
    } | free_ports(PROVIDER_PORTS)
    if now is not None:
        environment["PSP_NOW"] = now.isoformat()
    state = ensure_state(load_settings(environment))
    servers = [_start(module, name, environment, options.get(name, ())) for name in ("vima", "payshack")]
    try:
        _wait(servers, [state["vima"]["base_url"], state["payshack"]["portal_url"]])
        yield Providers(environment=environment, world=open_world(state))
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(timeout=20)


def _start(module: str, name: str, environment: dict[str, str], options: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PSP_", "VIMA_", "PAYSHACK_"))}
    return subprocess.Popen([sys.executable, "-m", module, name, *options], cwd=ROOT, env=inherited | environment)


def _wait(servers: "list[subprocess.Popen[bytes]]", urls: list[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for server, url in zip(servers, urls, strict=True):
        while True:
            if server.poll() is not None:
                raise RuntimeError(f"a sandbox server ended with {server.returncode}")
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
