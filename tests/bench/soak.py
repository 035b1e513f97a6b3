"""The whole platform on a moving world for some minutes: `python -m tests.bench.soak --minutes 10` (`make soak`).

Starts `psp up` over a temporary PSP_HOME, looks every few seconds, stops it with SIGINT, and judges: nothing restarted,
no load failed, the marts never further behind than `MAX_LAG_SECONDS`, memory level after the first third, nothing left
running. Exit code 1 when one of these does not hold.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from pipelines.core.postgres import connect
from tests.integration.cli.conftest import ROOT, assert_nothing_left, clean_environment, start_psp
from tests.sandbox import PLATFORM_PORTS, free_ports

LOOK_SECONDS = 10
START_SECONDS = 300
MAX_LAG_SECONDS = 420  # PayShack is asked every five minutes
MAX_GROWTH = 1.5


def main() -> int:
    """Run, print what was seen, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="psp-soak-") as folder:
        home = Path(folder) / "home"
        environment = {"PSP_HOME": str(home)} | free_ports(PLATFORM_PORTS)
        began = time.monotonic()
        up = start_psp("up", "--no-browser", environment=environment, log=Path(folder) / "up.log")
        try:
            looks = _watch(environment, up, minutes * 60)
            failed = _failed_loads(home)
        finally:
            up.send_signal(signal.SIGINT)
            code = up.wait(timeout=120)
            sys.stdout.write((Path(folder) / "up.log").read_text())
        assert_nothing_left(home)
    return _judge(looks, failed, code, time.monotonic() - began)


def _watch(environment: dict[str, str], up: "subprocess.Popen[bytes]", seconds: float) -> list[dict[str, Any]]:
    looks: list[dict[str, Any]] = []
    deadline = time.monotonic() + START_SECONDS
    ready_at: float | None = None
    while ready_at is None or time.monotonic() - ready_at < seconds:
        if up.poll() is not None or (ready_at is None and time.monotonic() > deadline):
            raise SystemExit("the platform has not stayed up")
        time.sleep(LOOK_SECONDS if ready_at else 1)
        status = json.loads(_psp("status", "--json", environment=environment))
        if status["phase"] != "ready":
            continue
        ready_at = ready_at or time.monotonic()
        look = {
            "second": round(time.monotonic() - ready_at),
            "lag": max((source["lag_seconds"] or 0) for source in status["sources"]),
            "rows": sum(source["rows"] for source in status["sources"]),
            "restarts": sum(process["restarts"] for process in status["processes"]),
            "megabytes": round(_memory(status["pid"]) / 1024**2),
        }
        looks.append(look)
        sys.stdout.write(f"{look}\n")
        sys.stdout.flush()
    return looks


def _psp(*arguments: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(environment), capture_output=True, text=True, check=False
    )
    return done.stdout


def _memory(pid: int) -> int:
    """Resident bytes of `psp up` and the long-running processes below it; runs come and go and are not counted."""
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [parent, *parent.children()])


def _failed_loads(home: Path) -> int:
    url = json.loads((home / "postgres.json").read_text())["url"]
    with connect(url) as connection:
        row = connection.execute("select count(*) from raw.load_runs where status = 'failed'").fetchone()
    return int(row[0]) if row else 0


def _judge(looks: list[dict[str, Any]], failed: int, code: int, seconds: float) -> int:
    settled = looks[len(looks) // 3 :] or looks
    worst = max(look["lag"] for look in looks)
    growth = settled[-1]["megabytes"] / max(settled[0]["megabytes"], 1)
    verdicts = {
        f"worst lag {worst:.0f} s (at most {MAX_LAG_SECONDS})": worst <= MAX_LAG_SECONDS,
        f"rows {looks[0]['rows']} -> {looks[-1]['rows']}": looks[-1]["rows"] >= looks[0]["rows"],
        f"restarts {looks[-1]['restarts']}": looks[-1]["restarts"] == 0,
        f"failed loads {failed}": failed == 0,
        f"memory x{growth:.2f} (at most {MAX_GROWTH})": growth <= MAX_GROWTH,
        f"exit code {code}": code == 0,
    }
    for text, holds in verdicts.items():
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {text}\n")
    sys.stdout.write(f"{len(looks)} looks in {seconds:.0f} s on {os.cpu_count()} cores\n")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
