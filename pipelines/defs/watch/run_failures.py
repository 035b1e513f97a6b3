"""run_failure_sensor: one line for every run that failed, with what happened and what to do, and no secret in it.

The line goes to the sensor's log in the UI and to the output of the process that runs the code location.
"""

from collections.abc import Sequence

import dagster as dg

from pipelines.core.redaction import redact

NAMED_STEPS = 3


@dg.run_failure_sensor(
    name="run_failure_sensor",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes one line for every failed run: job, step, partition, what happened and what to do.",
)
def run_failure_sensor(context: dg.RunFailureSensorContext) -> None:
    """Tell the failure."""
    context.log.error(failure_line(context.dagster_run, context.failure_event, context.get_step_failure_events()))


def failure_line(run: dg.DagsterRun, failure: dg.DagsterEvent, steps: Sequence[dg.DagsterEvent]) -> str:
    """What is told of a failed run, on one line."""
    partition = run.tags.get("dagster/partition")
    of_what = f"{run.job_name} ({partition})" if partition else run.job_name
    told = [f"{step.step_key}: {_reason(step)}" for step in steps[:NAMED_STEPS]]
    if len(steps) > NAMED_STEPS:
        told.append(f"and {len(steps) - NAMED_STEPS} more steps")
    # Without a failed step the run itself broke: its process died, or it did not start.
    what = "; ".join(told) if told else failure.message or "no reason given"
    return redact(" ".join(f"Run {run.run_id[:8]} of {of_what} failed. {what}".split()))


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.message if data.error else event.message or "no reason given"
