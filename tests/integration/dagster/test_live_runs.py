"""Dagster's own daemon and code server over dagster.yaml and workspace.yaml as they are.

Days are read again by the command line, two days at once, while one day fails; what that has brought is modelled by
the sensor; the failure is told on one line; a run whose processes are killed is failed by the monitoring. What the
sensors of the feeds do is proved by tests/e2e/test_chain.py.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from pipelines.core.postgres import advisory_key, connect, sqlalchemy_url
from tests.conftest import Loaded, copy_database, drop_database, take_parsed_models
from tests.integration.dagster.conftest import OURS
from tests.sandbox import STANDING_AT

ROOT = Path(__file__).parents[3]
DAYS = [(STANDING_AT.date() - timedelta(days=back)).isoformat() for back in range(5, 2, -1)]
BLOCKED = DAYS[2]
RELOADED = DAYS[1]

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running daemon, its instance and its warehouse."""

    environment: dict[str, str]
    instance: dg.DagsterInstance
    daemon: "subprocess.Popen[bytes]"
    log: Path

    def runs(self, job: str, **filters: Any) -> list[dg.DagsterRun]:
        """The job's runs, newest first."""
        return list(self.instance.get_runs(filters=dg.RunsFilter(job_name=job, **filters)))

    def succeeded(self, job: str) -> int:
        """How many runs of the job have succeeded."""
        return len(self.runs(job, statuses=[dg.DagsterRunStatus.SUCCESS]))

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement in the warehouse, as its owner."""
        with connect(self.environment["PSP_DATABASE_URL"]) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def dagster(self, *arguments: str) -> str:
        """What a command of Dagster's own command line says."""
        done = subprocess.run(
            [sys.executable, "-m", "dagster", *arguments, "-w", str(ROOT / "workspace.yaml")],
            cwd=self.environment["PSP_HOME"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def until(self, what: str, condition: Callable[[], Any], seconds: float = 150) -> Any:
        """Wait for the condition; the daemon's log is shown when it does not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            assert self.daemon.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.5)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def live(
    loaded: Loaded, server_url: str, parsed_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A daemon that has just been started over a loaded warehouse."""
    url = copy_database(server_url, loaded.template)
    home = tmp_path_factory.mktemp("live")
    shutil.copytree(
        loaded.providers.environment["PSP_HOME"], home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dlt", "dbt")
    )
    take_parsed_models(parsed_models, home)
    (home / "dagster").mkdir()
    shutil.copy(ROOT / "dagster.yaml", home / "dagster" / "dagster.yaml")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment |= loaded.providers.environment
    environment |= {
        "PSP_DATABASE_URL": url,
        "PSP_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "PSP_DAGSTER_URL": sqlalchemy_url(url, search_path="dagster"),
        # The warehouse has just been fed: what is started here is started by the tests.
        "VIMA_POLL_SECONDS": "3600",
        "PAYSHACK_POLL_SECONDS": "3600",
        "PYTHONPATH": str(ROOT),
    }
    log = home / "daemon.log"
    with pytest.MonkeyPatch.context() as patch, log.open("wb") as output:
        for name in ("PSP_DAGSTER_URL", "DAGSTER_HOME", "PSP_HOME", "PSP_DATABASE_URL"):
            patch.setenv(name, environment[name])
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "-w", str(ROOT / "workspace.yaml")],
                cwd=home,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            children = psutil.Process(daemon.pid)
            try:
                yield Live(environment=environment, instance=instance, daemon=daemon, log=log)
            finally:
                family = [*children.children(recursive=True), children]
                daemon.send_signal(signal.SIGINT)
                _, alive = psutil.wait_procs(family, timeout=30)
                for process in alive:
                    process.kill()
                psutil.wait_procs(alive, timeout=10)
                daemon.wait(timeout=10)
    drop_database(url)


def test_days_are_read_again_while_one_of_them_fails(live: Live) -> None:
    lost = live.query(
        "delete from raw.payshack_payins where (source_created_at at time zone 'UTC')::date = %s returning record_id",
        RELOADED,
    )
    assert lost
    cursors = live.query("select source, cursor_value from raw.source_cursors")
    models_before = live.succeeded("models_job")
    with connect(live.environment["PSP_DATABASE_URL"], autocommit=True) as connection:
        # Somebody else is loading that very day.
        connection.execute("select pg_advisory_lock(%s)", (advisory_key(f"load:vima:window:{BLOCKED}"),))
        live.dagster("job", "backfill", "-j", "backfill_job", "--from", DAYS[0], "--to", DAYS[-1], "--noprompt")
        most = 0

        def ended() -> bool:
            nonlocal most
            runs = live.runs("backfill_job")
            going = [run for run in runs if run.status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)]
            most = max(most, len(going))
            return len(runs) == len(DAYS) and all(run.is_finished for run in runs)

        live.until("the backfill", ended, seconds=300)
    outcomes = {run.tags["dagster/partition"]: run.status for run in live.runs("backfill_job")}
    assert outcomes == {
        day: dg.DagsterRunStatus.FAILURE if day == BLOCKED else dg.DagsterRunStatus.SUCCESS for day in DAYS
    }
    assert most <= 2
    assert live.query("select source, cursor_value from raw.source_cursors") == cursors
    found = live.query(
        "select record_id from raw.payshack_payins where (source_created_at at time zone 'UTC')::date = %s", RELOADED
    )
    assert sorted(found) == sorted(set(lost))
    live.until("the models after the backfill", lambda: live.succeeded("models_job") > models_before)


def test_the_failed_day_is_told_on_one_line(live: Live) -> None:
    def lines() -> list[str]:
        return [line for line in live.log.read_text().splitlines() if f"of backfill_job ({BLOCKED}) failed." in line]

    line = live.until("the line of the failed run", lines)[0]
    assert "raw__vima_operations: vima" in line
    assert "is already being loaded by another process." in line
    assert "Fix: wait for it to end" in line


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; empty when it has just ended, also when nobody has fetched its exit code yet."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def test_a_run_whose_processes_are_killed_is_failed(live: Live) -> None:
    with connect(live.environment["PSP_DATABASE_URL"], autocommit=True) as connection:
        # The models wait for this lock, so the run stays where it is.
        connection.execute("select pg_advisory_lock(%s)", (advisory_key("dbt"),))
        live.dagster("job", "launch", "-j", "models_job")

        def started() -> dg.DagsterRun | None:
            runs = live.runs("models_job", statuses=[dg.DagsterRunStatus.STARTED])
            return runs[0] if runs else None

        run = live.until("the run", started)
        family = psutil.Process(live.daemon.pid).children(recursive=True)
        servers = [process for process in family if "grpc" in command_of(process)]
        assert servers
        for process in {child for server in servers for child in server.children(recursive=True)} | set(servers):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        live.until(
            "the monitoring",
            lambda: live.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE,  # type: ignore[union-attr]
        )
    logs = "".join(entry.message for entry in live.instance.all_logs(run.run_id))
    assert "its code server" in logs
