"""A process that dies is started again; one that does not stay alive ends the platform with its last words."""

import time
from pathlib import Path

import pytest

from pipelines.commands import supervisor as module
from pipelines.commands.services import Service
from pipelines.commands.supervisor import Supervisor
from pipelines.core.errors import PlatformError
from pipelines.core.settings import load_settings


def service(name: str, *arguments: str) -> Service:
    return Service(name=name, title=f"the {name}", arguments=arguments, is_ready=lambda: True)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, told: list[str]) -> Supervisor:
    return Supervisor(load_settings({"PSP_HOME": str(tmp_path)}), mark="supervised-in-a-test", tell=told.append)


def wait_for_death(supervisor: Supervisor) -> None:
    deadline = time.monotonic() + 20
    while not supervisor.check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def require_alive_for(supervisor: Supervisor, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        supervisor.require_alive()
        time.sleep(0.05)


def test_dead_process_is_started_again(supervisor: Supervisor, told: list[str]) -> None:
    supervisor.start(service("clock", "timeit", "--version-of-nothing"))
    wait_for_death(supervisor)  # noticed
    wait_for_death(supervisor)  # started again
    assert supervisor.describe()[0]["restarts"] == 1
    assert told[0].startswith("the clock ended with code 2; starting it again in 1 s.")
    supervisor.stop(patience=1)


def test_one_that_does_not_live_ends_with_its_last_words(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEATHS_LIMIT", 0)
    supervisor.start(service("clock", "no_module_of_this_name"))
    with pytest.raises(PlatformError, match=r"the clock ended 1 times in ten minutes.*no_module_of_this_name"):
        wait_for_death(supervisor)
    supervisor.stop(patience=1)


def test_during_the_start_nothing_may_die(supervisor: Supervisor) -> None:
    supervisor.start(service("clock", "no_module_of_this_name"))
    with pytest.raises(PlatformError, match="the clock ended with code 1"):
        require_alive_for(supervisor, seconds=20)
    supervisor.stop(patience=1)
