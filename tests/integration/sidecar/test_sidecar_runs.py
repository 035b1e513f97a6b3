"""Syncs and reconciliation on request, against Dagster's own web server over the real definitions.

No daemon runs beside it, so what is started stays queued: that is how a run on its way looks to whoever asks again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pipelines.core.settings import PROJECT_ROOT
from pipelines.sidecar.answers import Answer
from pipelines.sidecar.routes.sync import RunStatus, Triggered
from tests.conftest import copy_database, drop_database
from tests.integration.sidecar.conftest import NOW

pytestmark = pytest.mark.slow

TRIGGER, RECONCILE = "/sync/trigger", "/reconciliation/run"


@pytest.fixture(scope="module")
def warehouse_of_dagster(server_url: str, prepared_template: str) -> Iterator[str]:
    """Where Dagster keeps its runs."""
    url = copy_database(server_url, prepared_template)
    yield url
    drop_database(url)


@pytest.fixture(scope="module")
def operated(
    marts: str, warehouse_of_dagster: str, start_sidecar: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A sidecar with a Dagster beside it."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "instance").mkdir()
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "instance" / "dagster.yaml")
    with start_sidecar(marts) as running:
        environment = {
            **os.environ,
            "PSP_DATABASE_URL": warehouse_of_dagster,
            "PSP_HOME": str(home),
            "PSP_NOW": NOW.isoformat(),
            "DAGSTER_HOME": str(home / "instance"),
            "DO_NOT_TRACK": "1",
        }
        port = running.settings.psp_dagster_port
        command = [sys.executable, "-m", "dagster_webserver", "--host", "127.0.0.1", "--port", str(port)]
        log = home / "webserver.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--workspace", str(PROJECT_ROOT / "workspace.yaml")],
                env=environment,
                cwd=home,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_loaded(port, process, log)
            yield running
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_until_loaded(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/graphql", json={"query": "{ repositoriesOrError { __typename } }"}, timeout=60
            )
            if "RepositoryConnection" in answer.text:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.3)


@pytest.fixture
def operator(operated: Any) -> Iterator[httpx.Client]:
    """A client that may start what it likes."""
    with operated.client("operate") as client:
        client.timeout = httpx.Timeout(60)
        yield client


def started(response: httpx.Response) -> Triggered:
    assert response.status_code == 202, response.text
    return Answer[Triggered].model_validate_json(response.content).data


def running_ids(response: httpx.Response) -> list[str]:
    assert (response.status_code, response.json()["error"]["code"]) == (409, "CONFLICT"), response.text
    found: list[str] = response.json()["error"]["details"]["run_ids"]
    return found


def test_a_feed_is_started_once_however_often_it_is_asked_for(operated: Any, operator: httpx.Client) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: operator.post(TRIGGER, json={"source": "vima"}), range(6)))

    (first,) = [started(answer) for answer in answers if answer.status_code == 202]
    (run_id,) = first.run_ids
    assert (first.runs[0].source, first.runs[0].day) == ("vima", None)
    assert all(running_ids(answer) == [str(run_id)] for answer in answers if answer.status_code != 202)
    # Both sources: refused as a whole, and PayShack was not started beside it.
    assert running_ids(operator.post(TRIGGER, json={})) == [str(run_id)]
    other = started(operator.post(TRIGGER, json={"source": "payshack"}))
    assert len(running_ids(operator.post(TRIGGER, json={"source": None}))) == 2

    with operated.client("read") as reader:
        status = Answer[RunStatus].model_validate_json(reader.get(f"/runs/{run_id}").content).data
        assert (status.job, status.status, status.asked_by) == ("vima_feed_job", "queued", "operate")
        assert (status.day, status.started_at, status.ended_at) == ("2026-01-20", None, None)
        assert reader.get(f"/runs/{other.run_ids[0]}").json()["data"]["job"] == "payshack_feed_job"
        assert reader.get(f"/runs/{uuid4()}").status_code == 404


def test_days_are_read_again_one_run_each(operator: httpx.Client) -> None:
    days = {"from_date": "2026-01-10", "to_date": "2026-01-12"}
    first = started(operator.post(TRIGGER, json={"source": "payshack", **days}))

    assert [run.day.isoformat() for run in first.runs if run.day] == ["2026-01-10", "2026-01-11", "2026-01-12"]
    assert len(set(first.run_ids)) == 3
    overlap = {"from_date": "2026-01-12", "to_date": "2026-01-13"}
    assert running_ids(operator.post(TRIGGER, json={"source": "payshack", **overlap})) == [str(first.run_ids[2])]
    assert running_ids(operator.post(TRIGGER, json=overlap)) == [str(first.run_ids[2])]
    # The same days of the other source are other work.
    assert len(started(operator.post(TRIGGER, json={"source": "vima", **days})).run_ids) == 3


def test_a_reconciliation_is_started_once(operator: httpx.Client) -> None:
    first = operator.post(RECONCILE, json={"date": "2026-01-19"})

    assert first.status_code == 202, first.text
    run_id = first.json()["data"]["run_id"]
    assert running_ids(operator.post(RECONCILE, json={"date": "2026-01-18"})) == [run_id]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TRIGGER, {"source": "stripe"}),
        (TRIGGER, {"from_date": "2026-01-10"}),
        (TRIGGER, {"from_date": "2026-01-12", "to_date": "2026-01-10"}),
        (TRIGGER, {"from_date": "2026-01-01", "to_date": "2026-02-15"}),
        (TRIGGER, {"from_date": "2024-12-31", "to_date": "2025-01-01"}),
        (TRIGGER, {"from_date": "2999-01-01", "to_date": "2999-01-02"}),
        (TRIGGER, {"source": "vima", "days": 3}),
        (TRIGGER, []),
        (RECONCILE, {}),
        (RECONCILE, {"date": "2026-01-21"}),
        (RECONCILE, {"date": 20260119}),
        (RECONCILE, {"date": "2026-01-19'; drop table runs; --"}),
    ],
)
def test_what_makes_no_sense_starts_nothing(operator: httpx.Client, path: str, body: Any) -> None:
    response = operator.post(path, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), response.text


def test_a_body_that_is_no_json_is_refused(operator: httpx.Client) -> None:
    response = operator.post(TRIGGER, content=b"{", headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", [TRIGGER, RECONCILE])
@pytest.mark.parametrize("key", ["read", "export", "pii", "plain"])
def test_only_the_scope_for_it_starts_anything(operated: Any, path: str, key: str) -> None:
    with operated.client(key) as client:
        response = client.post(path, json={"date": "2026-01-19"} if path == RECONCILE else {})
    assert (response.status_code, response.json()["error"]["details"]) == (403, {"needed_scope": "operate"})


def test_without_dagster_it_is_said_so(sidecar: Any) -> None:
    with sidecar.client("all") as client:
        answers = [
            client.post(TRIGGER, json={}),
            client.post(RECONCILE, json={"date": "2026-01-19"}),
            client.get(f"/runs/{uuid4()}"),
        ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(502, "UPSTREAM_ERROR")] * 3
