"""What Dagster is asked, over its GraphQL API: how it is, which runs are on their way, and to start some.

Names of the code location, of jobs and of run tags are those of pipelines/defs, which the sidecar must not import: they
are what a person would type into Dagster's own UI, and a test asks a real one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import httpx

from pipelines.core.settings import Settings
from pipelines.sidecar.errors import Upstream

HEALTH_SECONDS = 1.5
TIMEOUT_SECONDS = 20.0
"""A launch waits for the code server, which has to look at the job."""

LOCATION, REPOSITORY = "psp", "__repository__"
PARTITION, BACKFILL, MODE, SOURCE = "dagster/partition", "dagster/backfill", "psp/mode", "psp/source"
ASKED_BY, BUSINESS_DATE = "psp/asked_by", "psp/business_date"
UNFINISHED = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")
MOST_RUNS = 1000

RunState = Literal["queued", "running", "succeeded", "failed", "canceled"]
STATES: Mapping[str, RunState] = {
    "NOT_STARTED": "queued",
    "QUEUED": "queued",
    "MANAGED": "queued",
    "STARTING": "running",
    "STARTED": "running",
    "CANCELING": "running",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "CANCELED": "canceled",
}

HEALTH = """
{ version instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
RUN_FIELDS = "runId jobName status creationTime startTime endTime tags { key value } assetSelection { path }"
RUNS = f"""
query Runs($filter: RunsFilter!, $limit: Int!) {{
    runsOrError(filter: $filter, limit: $limit) {{
        __typename ... on Runs {{ results {{ {RUN_FIELDS} }} }} ... on Error {{ message }}
    }}
}}
"""
PARTITIONS = """
query Partitions($asset: AssetKeyInput!) {
    assetNodeOrError(assetKey: $asset) {
        __typename
        ... on AssetNode {
            first: partitionKeyConnection(limit: 1, ascending: true) { results }
            last: partitionKeyConnection(limit: 1, ascending: false) { results }
        }
    }
}
"""
LAUNCH = """
mutation Launch($runs: [ExecutionParams!]!) {
    launchMultipleRuns(executionParamsList: $runs) {
        __typename
        ... on LaunchMultipleRunsResult {
            launchMultipleRunsResult { __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } }
        }
        ... on Error { message }
    }
}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Dagster tells it. `assets` are those that it was narrowed to, empty for all of its job."""

    run_id: str
    job: str
    state: RunState
    tags: Mapping[str, str]
    assets: frozenset[str]
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to be started: of a job, narrowed to some of its assets when any are named."""

    job: str
    tags: Mapping[str, str] = field(default_factory=dict)
    assets: Sequence[str] = ()


class DagsterClient:
    """Dagster's web server."""

    def __init__(self, settings: Settings) -> None:
        self._http = httpx.AsyncClient(base_url=settings.dagster_url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def health(self) -> dict[str, object]:
        """`status`: up, degraded (a daemon that must run does not) or down; `version`; `daemons` that are not well.

        Never raises: an orchestrator that is down is an answer, too.
        """
        try:
            data = await self._ask(HEALTH, {}, timeout=HEALTH_SECONDS)
            daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
            unwell = sorted(item["daemonType"] for item in daemons if item["required"] and not item["healthy"])
            version = str(data["version"])
        except (Upstream, KeyError, TypeError):
            return {"status": "down", "version": None, "unhealthy_daemons": []}
        return {"status": "degraded" if unwell else "up", "version": version, "unhealthy_daemons": unwell}

    async def unfinished(self, *, job: str | None = None, tags: Mapping[str, str] | None = None) -> list[Run]:
        """Runs that are queued or running, newest first. Raises Upstream."""
        wanted: dict[str, object] = {"statuses": list(UNFINISHED)}
        if job:
            wanted["pipelineName"] = job
        if tags:
            wanted["tags"] = _pairs(tags)
        return await self._runs(wanted)

    async def run(self, run_id: str) -> Run | None:
        """One run, or None when there is none of that id. Raises Upstream."""
        found = await self._runs({"runIds": [run_id]})
        return found[0] if found else None

    async def days(self) -> tuple[str, str]:
        """First and last partition of the raw assets, UTC days. Raises Upstream."""
        asset = {"path": ["raw", "vima_operations"]}
        node = (await self._ask(PARTITIONS, {"asset": asset}))["assetNodeOrError"]
        try:
            return str(node["first"]["results"][0]), str(node["last"]["results"][0])
        except (KeyError, IndexError, TypeError):
            raise Upstream("Dagster runs, but does not know the assets yet. Try again in a minute.") from None

    async def launch(self, runs: Iterable[Launch]) -> list[str]:
        """Start runs; their ids in the same order. Raises Upstream, naming those that were started all the same."""
        asked = [
            {
                "selector": {
                    "repositoryLocationName": LOCATION,
                    "repositoryName": REPOSITORY,
                    "jobName": run.job,
                    **({"assetSelection": [{"path": name.split("/")} for name in run.assets]} if run.assets else {}),
                },
                "runConfigData": {},
                "executionMetadata": {"tags": _pairs(run.tags)},
            }
            for run in runs
        ]
        answer = (await self._ask(LAUNCH, {"runs": asked}))["launchMultipleRuns"]
        results = answer.get("launchMultipleRunsResult", [answer])
        started = [str(item["run"]["runId"]) for item in results if item["__typename"] == "LaunchRunSuccess"]
        if len(started) < len(asked):
            refused = next(item["__typename"] for item in results if item["__typename"] != "LaunchRunSuccess")
            raise Upstream(
                f"Dagster did not start all runs ({refused}); its UI says why.", details={"run_ids": started}
            )
        return started

    async def _runs(self, wanted: Mapping[str, object]) -> list[Run]:
        answer = (await self._ask(RUNS, {"filter": wanted, "limit": MOST_RUNS}))["runsOrError"]
        if answer["__typename"] != "Runs":
            raise Upstream("Dagster cannot list its runs; its UI says why.")
        return [_run(item) for item in answer["results"]]

    async def _ask(
        self, query: str, variables: Mapping[str, object], *, timeout: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        try:
            answer = await self._http.post("/graphql", json={"query": query, "variables": variables}, timeout=timeout)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()["data"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Upstream(f"Dagster cannot be reached ({type(error).__name__}). `psp doctor` tells why.") from None
        return found


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _run(item: Mapping[str, Any]) -> Run:
    return Run(
        run_id=item["runId"],
        job=item["jobName"],
        state=STATES[item["status"]],
        tags={tag["key"]: tag["value"] for tag in item["tags"]},
        assets=frozenset("/".join(asset["path"]) for asset in item["assetSelection"] or []),
        created_at=_instant(item["creationTime"]),
        started_at=_instant(item["startTime"]),
        ended_at=_instant(item["endTime"]),
    )


def _instant(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
