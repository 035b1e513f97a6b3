"""The services of a deployment for tests: one `psp service` per process and its health check, as docker-compose.yml has
them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from tests.integration.cli.conftest import ROOT, clean_environment, start_psp, wait_for
from tests.sandbox import free_port


@contextmanager
def service(name: str, *arguments: str, environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """It runs in the block, and ends in order when it is told to."""
    process = start_psp("service", name, *arguments, environment=environment, log=log)
    try:
        yield process
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        # A run that has begun is let finish.
        assert process.wait(timeout=120) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def services(*names: str, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Services that find the code server by its address, once it is healthy; logs are left in the folder."""
    port = free_port()
    where = ("--code-server", f"127.0.0.1:{port}")
    with ExitStack() as stack:
        for name in ("code-server", *names):
            arguments = () if name == "sidecar" else where
            log = folder / f"{name}.log"
            stack.enter_context(service(name, *arguments, environment=environment, log=log))
            if name == "code-server":
                wait_for_check(name, {"4000": str(port)}, environment)
        yield


def compose_check(name: str, changes: dict[str, str]) -> list[str]:
    """The health check of docker-compose.yml, with other ports."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    command: list[str] = compose["services"][name]["healthcheck"]["test"][1:]
    for old, new in changes.items():
        command = [part.replace(old, new) for part in command]
    return command


def wait_for_check(name: str, changes: dict[str, str], environment: dict[str, str]) -> None:
    check = compose_check(name, changes)
    wait_for(lambda: passes(check, environment), f"the health of {name}", seconds=90)


def passes(command: list[str], environment: dict[str, str]) -> bool:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, env=clean_environment(environment) | {"PATH": path}, cwd=ROOT, capture_output=True, check=False
    )
    return done.returncode == 0
