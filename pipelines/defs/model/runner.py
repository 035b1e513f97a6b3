"""Running the dbt project inside this process, one run at a time over all processes. Usable without Dagster.

    lock -> has code or a seed changed since the last build? -> dbtRunner(kept manifest).invoke(...) -> ModelReport

Three depths: `changes` runs models that hold rows and nothing else, for the minute's feed (a view is always current, a
seed only changes with a release); `models` runs seeds and models; `build` adds the tests. When code or a seed has
changed, each becomes a full refresh first, because incremental models keep rows that the older rules have made.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pipelines.core.errors import ConflictError, DatabaseError, ModelError
from pipelines.core.postgres import TRANSFORMER, advisory_key, connect
from pipelines.core.redaction import redact
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.dbt_runner import dbt_runner
from pipelines.defs.model.manifest import PROJECT, ParsedProject, content_fingerprint, environment, project_flags

_log = logging.getLogger(__name__)

Depth = Literal["changes", "models", "build"]

THREADS = 2
LOCK_WAIT_SECONDS = 900
# A rebuild joins and sorts whole histories, and no two runs of the models overlap.
SESSION_OPTIONS = "-c timezone=UTC -c work_mem=128MB -c maintenance_work_mem=512MB -c parallel_tuple_cost=0.01"
FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
SKIPPED = "skipped"
NAMED_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """One model, seed or test of a run. `message` is dbt's, redacted."""

    name: str
    kind: str
    status: str
    seconds: float
    message: str


@dataclass(slots=True, kw_only=True)
class ModelReport:
    """What a run of the models did."""

    full_refresh: bool
    nodes: list[NodeOutcome] = field(default_factory=list)
    duration_seconds: float = 0.0

    def named(self, status: frozenset[str]) -> list[NodeOutcome]:
        """The nodes that ended in one of `status`."""
        return [node for node in self.nodes if node.status in status]


def run_models(
    settings: Settings,
    *,
    project: ParsedProject,
    depth: Depth = "build",
    select: Sequence[str] = (),
    on_event: Callable[[Any], None] | None = None,
) -> ModelReport:
    """Run the models; `select` holds dbt selectors, empty for all. "Now" in the models is the platform's clock.

    `on_event` gets dbt's structured events as they come, from dbt's threads. Raises ModelError naming what failed,
    ConflictError when another run does not end, DatabaseError when the database is not there.
    """
    url = database_url(settings)
    with only_run(url) as connection:
        return run_models_holding(connection, settings, project=project, depth=depth, select=select, on_event=on_event)


def run_models_holding(
    connection: psycopg.Connection,
    settings: Settings,
    *,
    project: ParsedProject,
    depth: Depth = "build",
    select: Sequence[str] = (),
    on_event: Callable[[Any], None] | None = None,
) -> ModelReport:
    """The same for who holds the right to run on `connection` already."""
    url = database_url(settings)
    began = time.monotonic()
    with environment(dbt_environment(url)):
        built_with = content_fingerprint(settings)
        full_refresh = _last_built(connection) != built_with
        arguments = _arguments(settings, depth=depth, select=() if full_refresh else select, full_refresh=full_refresh)
        report = ModelReport(full_refresh=full_refresh)
        outcome = _invoke(project, arguments, on_event)
        for result in getattr(outcome.result, "results", None) or []:
            report.nodes.append(_node_outcome(result))
        # A failed test says something about the data, not about how the models were built.
        if full_refresh and report.nodes and not [n for n in report.named(FAILED | {SKIPPED}) if n.kind != "test"]:
            _remember_build(connection, built_with, settings)
    report.duration_seconds = time.monotonic() - began
    if not outcome.success:
        raise _model_error(outcome, report)
    return report


def _arguments(settings: Settings, *, depth: Depth, select: Sequence[str], full_refresh: bool) -> list[str]:
    work = settings.psp_home / "dbt" / "run"
    variables = {"now": settings.clock().isoformat(), "business_timezone": settings.psp_business_timezone}
    arguments = ["build", *project_flags(), "--threads", str(THREADS), "--vars", json.dumps(variables)]
    arguments += ["--target-path", str(work), "--log-path", str(work), "--no-write-json"]
    # Unit tests judge the code, in CI; they say nothing about a warehouse.
    arguments += ["--exclude-resource-type", "unit_test"]
    if depth != "build":
        arguments += ["--exclude-resource-type", "test"]
    if full_refresh:
        arguments.append("--full-refresh")
    elif depth == "changes":
        arguments += ["--exclude-resource-type", "seed", "--exclude", "config.materialized:view"]
    if select:
        arguments += ["--indirect-selection", "empty", "--select", *select]
    return arguments


def _invoke(project: ParsedProject, arguments: list[str], on_event: Callable[[Any], None] | None) -> Any:
    return dbt_runner(project.as_manifest(), [on_event] if on_event else []).invoke(arguments)


def dbt_environment(url: str) -> dict[str, str]:
    """What profiles.yml reads, from the one database URL; libpq takes role, UTC and TLS options from its own names."""
    parts = conninfo_to_dict(url)
    found = {
        "DBT_PSP_HOST": parts.get("host"),
        "DBT_PSP_PORT": parts.get("port"),
        "DBT_PSP_USER": parts.get("user"),
        "DBT_PSP_PASSWORD": parts.get("password"),
        "DBT_PSP_DBNAME": parts.get("dbname"),
        "PGSSLMODE": parts.get("sslmode"),
        "PGSSLROOTCERT": parts.get("sslrootcert"),
        "PGOPTIONS": f"-c role={TRANSFORMER} {SESSION_OPTIONS}",
    }
    return {name: str(value) for name, value in found.items() if value is not None}


@contextmanager
def only_run(url: str) -> Iterator[psycopg.Connection]:
    """The right to run the models, held on a session of its own so that it goes with the process."""
    with connect(url, role=TRANSFORMER, autocommit=True, application="psp-models") as connection:
        key = advisory_key("dbt")
        row = connection.execute("select pg_try_advisory_lock(%s)", (key,)).fetchone()
        if row is None or not row[0]:
            _log.warning(
                "Another run of the models is under way; waiting for it, %d min at most.", LOCK_WAIT_SECONDS // 60
            )
            _wait_for_the_lock(connection, key)
        yield connection


def _wait_for_the_lock(connection: psycopg.Connection, key: int) -> None:
    connection.execute("select set_config('lock_timeout', %s, false)", (f"{LOCK_WAIT_SECONDS}s",))
    try:
        connection.execute("select pg_advisory_lock(%s)", (key,))
    except psycopg.errors.LockNotAvailable:
        raise ConflictError(
            f"Another run of the models has not ended within {LOCK_WAIT_SECONDS // 60} minutes.",
            fix="look at it in the Dagster UI, terminate it if it hangs, and run again",
        ) from None


def _last_built(connection: psycopg.Connection) -> str | None:
    try:
        row = connection.execute("select fingerprint from intermediate.model_build").fetchone()
    except psycopg.errors.UndefinedTable:
        raise DatabaseError("The warehouse has not been prepared.", fix="run `psp up` or `psp sync all` once") from None
    return str(row[0]) if row else None


def _remember_build(connection: psycopg.Connection, fingerprint: str, settings: Settings) -> None:
    connection.execute(
        "insert into intermediate.model_build (fingerprint, built_at) values (%s, %s)"
        " on conflict (only_row) do update set fingerprint = excluded.fingerprint, built_at = excluded.built_at",
        (fingerprint, settings.clock()),
    )


def _node_outcome(result: Any) -> NodeOutcome:
    return NodeOutcome(
        name=str(result.node.name),
        kind=str(result.node.resource_type.value),
        status=str(result.status.value if hasattr(result.status, "value") else result.status).lower(),
        seconds=float(result.execution_time),
        message=redact(str(result.message or "")),
    )


def _model_error(outcome: Any, report: ModelReport) -> ModelError:
    failed = report.named(FAILED)
    if not failed:
        reason = redact(str(outcome.exception or "dbt gave no reason")).strip()
        return ModelError(
            f"The models did not run: {' '.join(reason.split())[:500]}",
            fix="run `psp doctor`; correct what is named and run again",
        )
    named = "; ".join(f"{node.name} ({_first_line(node.message)})" for node in failed[:NAMED_FAILURES])
    more = f" and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
    skipped = len(report.named(frozenset({SKIPPED})))
    tests = all(node.kind == "test" for node in failed)
    return ModelError(
        f"{len(failed)} of {len(report.nodes)} dbt nodes failed: {named}{more}; {skipped} skipped because of them.",
        fix=(
            f"look at the rows that the tests found (sql in {PROJECT.name}), correct source or rule, run again"
            if tests
            else f"correct the model in {PROJECT.name}; rows of the last good run are still in place"
        ),
    )


def _first_line(message: str) -> str:
    """dbt opens with where the error is, and says what it is on the second line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].lower().startswith(
        ("database error in", "compilation error in", "runtime error in")
    ):
        return lines[1][:200]
    return lines[0][:200] if lines else "no message"
