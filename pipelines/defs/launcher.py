"""The run launcher of dagster.yaml: Dagster's default one, which can also tell whether a run's process is still there.

Dagster 1.13's own cannot. Its code server notices when a run's process dies, but when the server dies too (kill -9,
power, memory) the run stays STARTED for ever, and a feed sensor would wait for it for ever. With this class the run
monitoring asks the server on which the run was launched, and fails the run when server or process are gone.

Kubernetes and Docker bring launchers of their own, which can tell.
"""

import dagster as dg
import grpc

# Not exported by `dagster`: what a launcher answers, and how a code server is asked.
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

ANSWER_SECONDS = 10


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Launches runs on the code server, and knows whether they live."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes; that is what this class is for."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING while the server holds the run's process, or is too busy to say so; NOT_FOUND when it is gone."""
        server = self._get_grpc_client_for_termination(run.run_id)
        if server is None:
            # Ended meanwhile, or a process of its own runs it, such as `psp up` its first load: not ours to judge.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = server.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_SECONDS)
        except Exception as error:
            if _is_timeout(error):
                return CheckRunHealthResult(WorkerStatus.RUNNING, "its code server is too busy to answer")
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server is gone, and the process with it")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server has no process of it any more")


def _is_timeout(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED
