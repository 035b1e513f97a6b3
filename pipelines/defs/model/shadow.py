"""The models a second time, beside the marts: same project, same raw log, schemas `shadow_*`. Usable without Dagster.

    raw.* -> shadow_reference -> shadow_staging -> shadow_intermediate -> shadow_marts -> compared -> dropped

Always a full refresh, so nothing of the real models' state is read, and the macros that note state know a shadow by its
schema. Both uses hold the runner's lock: neither the real models nor another shadow moves meanwhile.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from pipelines.core.errors import ModelError
from pipelines.core.redaction import redact
from pipelines.core.settings import Settings
from pipelines.defs.model.dbt_runner import dbt_runner
from pipelines.defs.model.manifest import ParsedProject, environment, project_flags
from pipelines.defs.model.runner import THREADS, dbt_environment

PREFIX = "shadow_"
SCHEMAS = ("reference", "staging", "intermediate", "marts")
# It appends to the one log of breaks, which a shadow only reads.
LIFE_OF_BREAKS = "path:models/intermediate/breaks"


@contextmanager
def shadow_schemas(connection: psycopg.Connection) -> Iterator[None]:
    """Room for a shadow; whatever is left of an earlier one goes first, and all of it afterwards."""
    _clear(connection)
    try:
        yield
    finally:
        _clear(connection)


def build_shadow(
    settings: Settings,
    url: str,
    project: ParsedProject,
    *,
    now: datetime,
    select: Sequence[str],
    seeds: bool = True,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Build `select` into the shadow schemas; without `seeds` those that are there stay. Raises ModelError."""
    told = {"now": now.isoformat(), "business_timezone": settings.psp_business_timezone, **(variables or {})}
    work = str(settings.psp_home / "dbt" / "shadow")
    arguments = ["build", "--full-refresh", *project_flags(), "--threads", str(THREADS), "--vars", json.dumps(told)]
    arguments += ["--target-path", work, "--log-path", work, "--no-write-json", "--select", *select]
    arguments += ["--exclude", LIFE_OF_BREAKS, "--exclude-resource-type", "test"]
    arguments += ["--exclude-resource-type", "unit_test"]
    if not seeds:
        arguments += ["--exclude-resource-type", "seed"]
    with environment(dbt_environment(url)):
        outcome = dbt_runner(_moved(project.as_manifest())).invoke(arguments)
    if not outcome.success:
        failed = [str(node.message) for node in getattr(outcome.result, "results", None) or [] if node.message]
        reason = " ".join(redact(str(outcome.exception or "; ".join(failed))).split())[:500]
        raise ModelError(
            f"The models cannot be built beside the marts: {reason}",
            fix="correct what is named; the marts themselves have not been touched",
        )


def _moved(manifest: Any) -> Any:
    """Every seed and model of the manifest, in its shadow schema."""
    for node in manifest.nodes.values():
        if node.resource_type in ("model", "seed") and node.schema in SCHEMAS:
            moved = PREFIX + node.schema
            if node.relation_name:
                node.relation_name = node.relation_name.replace(f'"{node.schema}".', f'"{moved}".')
            node.schema = moved
    return manifest


def _clear(connection: psycopg.Connection) -> None:
    """The schemas themselves belong to the warehouse's foundation: who runs models may not make any."""
    found = connection.execute(
        "select relkind = 'v', relnamespace::regnamespace::text, relname from pg_class"
        " where relkind in ('r', 'v') and relnamespace::regnamespace::text = any(%s)",
        ([PREFIX + schema for schema in SCHEMAS],),
    ).fetchall()
    for is_view, schema, name in found:
        kind = sql.SQL("view" if is_view else "table")
        connection.execute(sql.SQL("drop {} if exists {} cascade").format(kind, sql.Identifier(schema, name)))
