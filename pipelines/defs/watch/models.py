"""models_sensor: runs the models when there is work that no feed will do soon.

    time alone (a grace is over, the other source is complete) or rows loaded without models (backfill) -> models_job

Feeds run the models too. So rows must have been due for `PATIENCE_POLLS` polls to be worth a run of their own.
"""

import json
from datetime import timedelta

import dagster as dg

from pipelines.core.clock import system_clock
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.jobs import first_load_job, models_job, payshack_feed_job, vima_feed_job
from pipelines.defs.watch.runs import in_words, pause_after_failures, unfinished

SECONDS = 60
PATIENCE_POLLS = 2
LONG_LOAD = timedelta(minutes=3)
"""A feed that has been loading for longer, such as the first of a long history, is not waited for."""


@dg.sensor(
    job_name=models_job.name,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Runs the models, with tests, when time alone has made work (a grace or TTL is over, the other source is now "
        "complete) or rows were loaded without them, as backfills do."
    ),
)
def models_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Cursor: the transaction of the newest raw row for which the models were last asked to run."""
    with told_plainly(context):
        return _decide(context, load_settings())


def _decide(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult | dg.SkipReason:
    from pipelines.defs.model.pending import pending_work

    coming = _run_that_ends_with_the_models(context.instance)
    if coming:
        return dg.SkipReason(f"A run that ends with the models is on its way already: {coming.run_id[:8]}.")
    pause = pause_after_failures(context.instance, job=models_job.name, poll_seconds=SECONDS)
    if pause is not None:
        return dg.SkipReason(f"{pause.told('run')} of the models failed; the next one is tried after {pause.time}.")
    patience = timedelta(seconds=PATIENCE_POLLS * settings.vima_poll_seconds)
    work = pending_work(settings, patience=patience)
    asked_for = json.loads(context.cursor)["newest_loaded"] if context.cursor else None
    # A long transaction elsewhere makes processed rows look unprocessed; one run for the same newest row is enough,
    # unless it failed.
    unprocessed = work.has_unprocessed_rows and (work.newest_loaded != asked_for or _last_run_failed(context.instance))
    if not work.due_rows and not unprocessed:
        return dg.SkipReason("No row of fct_reconciliation is due, and the models have seen every raw row.")
    context.log.info(
        f"{in_words(work.due_rows, 'row')} of fct_reconciliation due; "
        f"raw rows {'wait' if unprocessed else 'do not wait'} for the models."
    )
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=json.dumps({"newest_loaded": work.newest_loaded}))


def _run_that_ends_with_the_models(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    for job in (models_job, vima_feed_job, first_load_job):
        found = unfinished(instance, job=job.name)
        if found:
            return found[0]
    for run in unfinished(instance, job=payshack_feed_job.name):
        stats = instance.get_run_stats(run.run_id)
        began = stats.start_time
        if began is None or system_clock().timestamp() - began < LONG_LOAD.total_seconds():
            return run
    return None


def _last_run_failed(instance: dg.DagsterInstance) -> bool:
    records = instance.get_run_records(filters=dg.RunsFilter(job_name=models_job.name), limit=1)
    return bool(records) and records[0].dagster_run.status is dg.DagsterRunStatus.FAILURE
