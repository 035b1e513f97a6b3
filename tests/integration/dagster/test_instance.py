"""dagster.yaml and workspace.yaml as they are: where records go, what is limited, what validates without a database."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import connect
from pipelines.defs.launcher import WatchedRunLauncher
from tests.integration.dagster.conftest import OURS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME as `psp up` lays it out, and no variable of ours but PSP_HOME and DAGSTER_HOME."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder)
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PSP_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture
def instance(home: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance of dagster.yaml over a fresh warehouse, found by the settings alone."""
    monkeypatch.setenv("PSP_DATABASE_URL", warehouse)
    with dg.DagsterInstance.get() as made:
        yield made


@dg.op
def idle() -> None:
    pass


@dg.job(executor_def=dg.in_process_executor)
def idle_job() -> None:
    idle()


def test_validation_is_clean_without_a_database(tmp_path: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=tmp_path,
        env=environment | {"PSP_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "All code locations passed validation" in told
    assert "Traceback" not in told
    assert " - ERROR" not in told
    assert " - WARNING" not in told


def test_records_lie_in_a_schema_of_the_warehouse(instance: dg.DagsterInstance, warehouse: str) -> None:
    result = idle_job.execute_in_process(instance=instance)
    assert result.success
    with connect(warehouse) as connection:
        found = connection.execute(
            "select status from dagster.runs where run_id = %s", (result.dagster_run.run_id,)
        ).fetchall()
        outside = connection.execute(
            "select count(*) from information_schema.tables where table_schema = 'public'"
        ).fetchone()
    assert found == [("SUCCESS",)]
    assert outside == (0,)


def test_connections_are_kept(instance: dg.DagsterInstance, warehouse: str) -> None:
    opened = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with connect(warehouse) as connection:
        idle_job.execute_in_process(instance=instance)
        first = connection.execute(opened.encode()).fetchone()
        idle_job.execute_in_process(instance=instance)
        second = connection.execute(opened.encode()).fetchone()
    assert first == second
    assert first is not None
    assert first[0] >= 2


def test_without_a_database_a_process_says_what_to_do(home: Path) -> None:
    with pytest.raises(DatabaseError, match="No database"), dg.DagsterInstance.get():
        pass


def test_limits_leave_a_place_for_the_feeds(instance: dg.DagsterInstance) -> None:
    concurrency = instance.get_concurrency_config()
    queue = concurrency.run_queue_config
    assert queue is not None
    limits = {limit["key"]: limit["limit"] for limit in queue.tag_concurrency_limits}
    assert limits["psp/source"] == 1
    # The feed, the nightly sweep, and what a backfill may take of a provider.
    assert concurrency.pool_config.default_pool_limit == limits["dagster/backfill"] + 2
    assert queue.max_concurrent_runs >= 4 + limits["dagster/backfill"]


def test_nobody_is_phoned_and_dead_runs_are_looked_for(instance: dg.DagsterInstance) -> None:
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled
    assert isinstance(instance.run_launcher, WatchedRunLauncher)


def test_the_launcher_tells_the_dead_from_what_it_cannot_judge(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    launcher = instance.run_launcher
    own = instance.create_run_for_job(idle_job, status=dg.DagsterRunStatus.STARTED)
    assert launcher.check_run_worker_health(own).status.value == "RUNNING"
    gone = json.dumps({"host": "localhost", "socket": str(tmp_path / "nobody.sock")})
    dead = instance.create_run_for_job(idle_job, status=dg.DagsterRunStatus.STARTED, tags={".dagster/grpc_info": gone})
    health = launcher.check_run_worker_health(dead)
    assert health.status.value == "NOT_FOUND"
    assert "code server is gone" in str(health.msg)
