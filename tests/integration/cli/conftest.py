"""`psp` as people run it: a process of its own, with its own PSP_HOME and ports, over the real parts."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import take_parsed_models
from tests.sandbox import PLATFORM_PORTS, Providers, free_ports

ROOT = Path(__file__).parents[3]
OURS = ("PSP_", "VIMA_", "PAYSHACK_", "METABASE_", "DAGSTER_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a finished command has said."""

    code: int
    out: str
    err: str

    def assert_one_error(self, *words: str) -> None:
        """It failed with one clear message that holds the words, with a fix, and without a traceback."""
        assert self.code == 1, self.err
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        fixes = [line for line in lines if line.startswith("fix: ")]
        assert len(errors) == 1, self.err
        assert len(fixes) == 1, self.err
        assert "Traceback" not in self.err + self.out
        for word in words:
            assert word in errors[0] + fixes[0], self.err


def clean_environment(changes: dict[str, str]) -> dict[str, str]:
    """This process's environment without any setting of the platform, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"} | changes


def start_psp(*arguments: str, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """`psp` in a session of its own, as from another terminal."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=ROOT,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run_psp(*arguments: str, environment: dict[str, str], timeout: float = 240) -> Answer:
    """`psp` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=ROOT,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Answer(code=done.returncode, out=done.stdout, err=done.stderr)


def shown_key(said: str) -> str:
    """The API key that `psp up` has shown."""
    found = re.search(r"API key (psp_\S+)", said)
    assert found, said
    return found[1]


def processes_of(home: Path) -> list[str]:
    """Every living process of this PSP_HOME: told by its command line or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            named = any(str(home) in part for part in process.cmdline())
            if named or process.environ().get("PSP_HOME") == str(home):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:160]}")
        except (psutil.Error, OSError):
            continue
    return found


def assert_nothing_left(home: Path, *, seconds: float = 10) -> None:
    """No process of this PSP_HOME is left; a killed one's children get a moment to notice."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait until it holds; fail saying what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty PSP_HOME; whatever the test does, nothing of it is left running."""
    folder = tmp_path / "home"
    yield folder
    run_psp("down", environment={"PSP_HOME": str(folder)})
    assert_nothing_left(folder)


@pytest.fixture
def platform(home: Path, parsed_models: Path) -> dict[str, str]:
    """Settings of a whole platform on free ports, with a small invented world; nothing but the models is prepared."""
    take_parsed_models(parsed_models, home)
    return {"PSP_HOME": str(home), "PSP_SANDBOX_ORDERS": "200"} | free_ports(PLATFORM_PORTS)


@pytest.fixture
def outside(home: Path, providers: Providers, warehouse: str, parsed_models: Path) -> dict[str, str]:
    """Settings as in production: a database server and two providers that somebody else runs."""
    take_parsed_models(parsed_models, home)
    return {"PSP_HOME": str(home), "PSP_DATABASE_URL": warehouse, **addresses_of(providers)}


def addresses_of(providers: Providers) -> dict[str, str]:
    """The variables that lead to running sandbox servers as if they were the real ones."""
    state = json.loads((Path(providers.environment["PSP_HOME"]) / "sandbox.json").read_text())
    vima, payshack = state["vima"], state["payshack"]
    return {
        "PSP_NOW": providers.environment["PSP_NOW"],
        "VIMA_BASE_URL": vima["base_url"],
        "VIMA_API_KEY": vima["api_key"],
        "VIMA_PAGE_PAUSE_SECONDS": "0",
        "PAYSHACK_PORTAL_URL": payshack["portal_url"],
        "PAYSHACK_API_URL": payshack["api_url"],
        "PAYSHACK_EMAIL": payshack["email"],
        "PAYSHACK_PASSWORD": payshack["password"],
        "PAYSHACK_RESPONSE_SECRET": payshack["response_secret"],
        "PAYSHACK_RESPONSE_IV": payshack["response_iv"],
        "PAYSHACK_PAGE_PAUSE_SECONDS": "0",
    }
