"""A failed run is told on one line: what, where, why, what to do, and no secret."""

from collections.abc import Iterator

import dagster as dg
import pytest

from pipelines.core.errors import SourceUnavailable
from pipelines.core.redaction import register_secrets
from pipelines.defs.failures import told_plainly
from pipelines.defs.watch.run_failures import failure_line

SECRET = "invented-secret-417-of-this-test"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def line_of_failed_run(instance: dg.DagsterInstance, error: Exception) -> tuple[str, str]:
    """The line, and everything that the run's event log holds."""

    @dg.asset
    def broken(context: dg.AssetExecutionContext) -> None:
        with told_plainly(context):
            raise error

    result = dg.materialize([broken], instance=instance, raise_on_error=False, partition_key=None)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failure_sensor",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    told = failure_line(context.dagster_run, context.failure_event, context.get_step_failure_events())
    log = "".join(str(entry) for entry in instance.all_logs(result.run_id))
    return told, log


def test_an_expected_failure_says_what_and_the_fix(instance: dg.DagsterInstance) -> None:
    error = SourceUnavailable("Vima does not answer at vima.example/operation.", fix="check that the provider is up")
    told, _ = line_of_failed_run(instance, error)
    assert "\n" not in told
    assert "failed. broken: Vima does not answer at vima.example/operation. Fix: check that the provider is up" in told


def test_no_secret_reaches_the_line_or_the_event_log(instance: dg.DagsterInstance) -> None:
    register_secrets([SECRET])
    error = RuntimeError(f"https://vima.example/operation?apikey=K1234567&x=1 {SECRET} payer1@example.com\nsecond line")
    told, log = line_of_failed_run(instance, error)
    assert "RuntimeError" in told
    for secret in (SECRET, "K1234567", "payer1@example.com"):
        assert secret not in told
        assert secret not in log


def test_a_run_without_a_failed_step_tells_why_it_ended(instance: dg.DagsterInstance) -> None:
    @dg.op
    def idle() -> None:
        pass

    @dg.job
    def dead_job() -> None:
        idle()

    run = instance.create_run_for_job(dead_job, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "Detected run worker status NOT_FOUND: 'its code server is gone'.")
    records = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    event = records[0].event_log_entry.dagster_event
    assert event is not None
    told = failure_line(run, event, [])
    assert "dead_job failed." in told
    assert "its code server is gone" in told
