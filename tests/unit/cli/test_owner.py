"""One owner per PSP_HOME, known to others, whatever way it ends."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.commands.owner import UP, current_owner, owning, record_file
from pipelines.commands.processes import MARK
from pipelines.core.errors import ConflictError, SettingsError
from pipelines.core.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"PSP_HOME": str(tmp_path / "home")})


def test_owner_is_known_while_it_lives(settings: Settings) -> None:
    assert current_owner(settings) is None
    with owning(settings, UP) as ownership:
        ownership.publish(phase="ready", addresses={"dagster": "http://127.0.0.1:3000"})
        found = current_owner(settings)
        assert found is not None
        assert (found.pid, found.command, found.state["phase"]) == (os.getpid(), UP, "ready")
        assert record_file(settings).stat().st_mode & 0o077 == 0
    assert current_owner(settings) is None


def test_second_owner_is_refused_by_name(settings: Settings) -> None:
    with owning(settings, UP), pytest.raises(ConflictError, match=f"process {os.getpid()}"), owning(settings, UP):
        pytest.fail("there were two owners")


def test_another_command_is_waited_for(settings: Settings) -> None:
    held = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(settings.psp_home), 1.0))
    held.start()
    while current_owner(settings) is None:
        time.sleep(0.02)
    waited_for = []
    with owning(settings, "psp sync", wait=lambda other: waited_for.append(other.command) is None):
        assert set(waited_for) == {"psp reconcile"}
    held.join()


def test_what_a_killed_owner_left_is_ended_and_a_reused_number_is_not(settings: Settings) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(command, env=os.environ | {MARK: "mark-of-the-killed"})
    foreign = subprocess.Popen(command)
    try:
        record_file(settings).parent.mkdir(parents=True)
        # The killed owner's number now belongs to a process that has nothing to do with it.
        killed = {"pid": foreign.pid, "born": 1.0, "command": UP, "mark": "mark-of-the-killed", "started_at": "then"}
        record_file(settings).write_text(json.dumps(killed | {"state": {}}))
        assert current_owner(settings) is None
        with owning(settings, UP):
            assert not psutil.pid_exists(left.pid)
            assert foreign.poll() is None
    finally:
        for process in (left, foreign):
            process.kill()
            process.wait()


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings({"PSP_HOME": str(tmp_path / "file" / "home")})
    with pytest.raises(SettingsError, match="cannot be written"), owning(settings, UP):
        pytest.fail("there was an owner")


def _hold(home: str, seconds: float) -> None:
    with owning(load_settings({"PSP_HOME": home}), "psp reconcile"):
        time.sleep(seconds)
