"""The first load of `psp up`: the job `first_load_job` as a run of this process, recorded in Dagster like any other.

A run that a sensor starts would come half a minute later: the daemon's first tick, the queue and the start of a run's
process each take their time. The daemon is started behind it, so its sensors go on where this has ended.

    stdin   one line, when the providers are up; imports and parsing are done while waiting for it
    stdout  JSON lines: {"phase": "storage" | "ready" | "run"}, at last {"ok": true, "seconds": ...} or the error
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from pipelines.core.errors import PlatformError
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings, load_settings

STARTED_HERE = "psp/started_by"
UNFINISHED = ("STARTING", "STARTED", "CANCELING")
GRPC_INFO = ".dagster/grpc_info"


def main() -> None:
    """Prepare, wait for the word, run, tell."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = load_settings()
        database_url(settings)
        _run(settings)
    except PlatformError as error:
        _tell(ok=False, error=error.message, fix=error.fix, kind=type(error).__name__)


def _run(settings: Settings) -> None:
    import dagster as dg

    from pipelines.definitions import defs
    from pipelines.defs.ingest.partitions import feed_partition

    with dg.DagsterInstance.get() as instance:
        _tell(phase="storage")
        _end_dead_runs(instance, settings)
        job = defs().resolve_job_def("first_load_job")
        _tell(phase="ready")
        if not sys.stdin.readline():
            return  # whoever started this has gone
        _tell(phase="run")
        began = time.monotonic()
        result = job.execute_in_process(
            instance=instance,
            partition_key=feed_partition(settings.clock()),
            tags={STARTED_HERE: _home_tag(settings)},
            raise_on_error=False,
        )
        if result.success:
            _tell(ok=True, seconds=round(time.monotonic() - began, 3))
            # Dagster's threads take seconds to end, and nothing is left for them to do.
            os._exit(0)
        else:
            _tell(
                ok=False,
                **next(_failures(result), {"error": "The first load failed.", "fix": "see its run", "kind": ""}),
            )


def _failures(result: Any) -> Iterator[dict[str, str]]:
    """What the steps themselves have said, as written by defs/failures.py."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        told = event.step_failure_data.user_failure_data
        if told is None:
            continue
        text = {name: str(value.value) for name, value in told.metadata.items() if hasattr(value, "value")}
        fix = text.get("fix", "")
        message = str(told.description or "").removesuffix(f" Fix: {fix}")
        yield {"error": redact(message), "fix": fix, "kind": text.get("error", "")}


def _end_dead_runs(instance: Any, settings: Settings) -> None:
    """Close what a killed `psp up` of this PSP_HOME left as running: it would hold its pools and block the sensors."""
    import dagster as dg

    statuses = [dg.DagsterRunStatus(name) for name in UNFINISHED]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=statuses)):
        socket = json.loads(run.tags.get(GRPC_INFO, "{}")).get("socket")
        if run.tags.get(STARTED_HERE) == _home_tag(settings) or (
            socket and socket == os.environ.get("PSP_CODE_SOCKET")
        ):
            instance.report_run_failed(
                run, message="`psp up` was ended while this ran; the next run goes on from there."
            )


def _home_tag(settings: Settings) -> str:
    return f"psp up {settings.psp_home}"[-250:]


def _tell(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
