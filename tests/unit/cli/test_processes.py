"""Children end with their parent, are known by their mark alone, and nothing foreign is touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.commands.processes import MARK, Child, end_marked, marked, stop_children, wait_until_gone

ROOT = Path(__file__).parents[3]
SLEEPER = "import time; print('awake', flush=True); time.sleep(600)"


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes a module that children can run."""

    def make(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    yield make
    end_marked("test-mark", patience=5)


@pytest.fixture
def make_child(tmp_path: Path) -> Callable[..., Child]:
    def make(module: str, *arguments: str) -> Child:
        environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        log = tmp_path / "logs" / f"{module}.log"
        return Child(module, (module, *arguments), mark="test-mark", environment=environment, log=log)

    return make


def wait_for_word(log: Path, word: str) -> None:
    deadline = time.monotonic() + 20
    while word not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_is_logged_without_secrets(modules: Callable[..., str], make_child: Callable[..., Child]) -> None:
    child = make_child(modules("talker", "print('asked /operation?apikey=abcdef123456 for rows')"))
    child.start()
    assert child.process.wait(timeout=20) == 0
    wait_for_word(child.log, "for rows")
    assert "abcdef123456" not in child.log.read_text()
    assert child.last_line() == "asked /operation?apikey=*** for rows"


def test_stop_ends_a_child_and_what_it_has_started(
    modules: Callable[..., str], make_child: Callable[..., Child]
) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).wait()"
    child = make_child(modules("parent", code))
    child.start()
    wait_for_word(child.log, "awake")
    assert len(marked("test-mark")) == 2
    stop_children([child], patience=5)
    assert marked("test-mark") == []


def test_stop_insists(modules: Callable[..., str], make_child: Callable[..., Child]) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    child = make_child(modules("deaf", deaf))
    child.start()
    wait_for_word(child.log, "awake")
    stop_children([child], patience=0.5)
    assert child.exit_code is not None


def test_a_mark_is_never_mistaken(modules: Callable[..., str], make_child: Callable[..., Child]) -> None:
    ours = make_child(modules("sleeper", SLEEPER))
    ours.start()
    wait_for_word(ours.log, "awake")
    foreign = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL, env={MARK: "another-mark"})
    try:
        assert end_marked("test-mark", patience=5) == 1
        assert foreign.poll() is None
        assert end_marked("nobody-has-this") == 0
    finally:
        foreign.kill()
        foreign.wait()
        ours.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has gone")
@pytest.mark.parametrize("awake", [True, False], ids=["at work", "just started"])
def test_a_child_ends_with_a_parent_that_is_killed(awake: bool, tmp_path: Path, modules: Callable[..., str]) -> None:
    """Whether or not it has got to work yet, and though its parent ignores and blocks SIGTERM."""
    modules("sleeper", SLEEPER)
    starter = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from pipelines.commands.processes import Child\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "child = Child('sleeper', ('sleeper',), mark='test-mark', environment={}, log=Path(sys.argv[1]))\n"
        "child.start()\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    log = tmp_path / "sleeper.log"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", starter, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        if awake:
            wait_for_word(log, "awake")
        parent.kill()
        parent.wait()
    assert wait_until_gone(child.pid, child.create_time(), seconds=10)


def test_signals_reach_a_child_of_a_background_job(
    modules: Callable[..., str], make_child: Callable[..., Child]
) -> None:
    """A shell's background job ignores SIGINT; libraries that copy that handler to SIGTERM would never stop."""
    code = "import signal; signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))\n" + SLEEPER
    child = make_child(modules("copier", code))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child.start()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for_word(child.log, "awake")
    child.process.terminate()
    assert child.process.wait(timeout=10) != 0
