"""What a change of the rules would do to the breaks of some days, before anybody makes it. Usable without Dagster.

    raw log of those days -> shadow by the rules as they are   -> rows before
                          -> shadow by the changed seeds       -> rows after -> breaks that appear, vanish or change

The marts are neither read nor touched: both sides are built from the same log at the same instant, so that the rules
are the only difference.
"""

import csv
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.core.errors import ModelError
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import PROJECT, ParsedProject
from pipelines.defs.model.runner import only_run
from pipelines.defs.model.shadow import build_shadow, shadow_schemas

SELECTED = ("+fct_reconciliation",)
SEEDS = PROJECT / "seeds"

# A break is what the rules give a severity: a comparable row that disagrees, or a success too many.
CHANGES = """
select
    case
        when was.severity is null then 'appears' when becomes.severity is null then 'vanishes' else 'changes'
    end as change,
    coalesce(becomes.reconciliation_id, was.reconciliation_id) as reconciliation_id,
    coalesce(becomes.business_date, was.business_date) as business_date,
    coalesce(becomes.project, was.project) as project,
    coalesce(becomes.flow, was.flow) as flow,
    coalesce(becomes.order_key, was.order_key) as order_key,
    coalesce(becomes.currency, was.currency) as currency,
    was.outcome as outcome_before, becomes.outcome as outcome_after,
    was.reasons as reasons_before, becomes.reasons as reasons_after,
    was.severity as severity_before, becomes.severity as severity_after,
    was.exposure as exposure_before, becomes.exposure as exposure_after
from shadow_marts.rows_before as was
full outer join shadow_marts.fct_reconciliation as becomes on was.reconciliation_id = becomes.reconciliation_id
where
    coalesce(becomes.business_date, was.business_date) between %(first)s and %(last)s
    and (was.severity is not null or becomes.severity is not null)
    and (was.outcome, was.reasons, was.severity, was.exposure)
    is distinct from (becomes.outcome, becomes.reasons, becomes.severity, becomes.exposure)
order by business_date, change, project, flow, order_key, reconciliation_id
"""


def rule_changes(
    settings: Settings, project: ParsedProject, *, rules: Path, first: date, last: date
) -> list[dict[str, Any]]:
    """One row per break that the seeds in `rules` would change. Raises ModelError, DatabaseError, ConflictError."""
    seeds = changed_seeds(rules)
    _require_judged_by(project, seeds)
    url, now = database_url(settings), settings.clock()
    days = {"first_day": first.isoformat(), "last_day": last.isoformat()}
    with only_run(url) as connection, shadow_schemas(connection):
        build_shadow(settings, url, project, now=now, select=SELECTED, variables=days)
        connection.execute("create table shadow_marts.rows_before as select * from shadow_marts.fct_reconciliation")
        for path in seeds:
            _replace_seed(connection, path)
        build_shadow(settings, url, project, now=now, select=SELECTED, variables=days, seeds=False)
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(CHANGES.encode(), {"first": first, "last": last}).fetchall()


def changed_seeds(rules: Path) -> list[Path]:
    """The files of the folder, each a seed of the project with the columns of that seed."""
    if not rules.is_dir():
        raise ModelError(f"{rules} is no folder.", fix="name a folder that holds the changed seeds as CSV files")
    files = sorted(rules.glob("*.csv"))
    known = {path.name for path in SEEDS.glob("*.csv")}
    strange = [path.name for path in files if path.name not in known]
    if strange or not files:
        told = f"{strange[0]} is no seed of the project." if strange else f"{rules} holds no CSV file."
        raise ModelError(told, fix=f"copy a seed of {SEEDS.name}/ there and change it: {', '.join(sorted(known))}")
    for path in files:
        header, expected = _header(path), _header(SEEDS / path.name)
        if header != expected:
            raise ModelError(
                f"{path.name} has other columns than the seed.", fix=f"keep its first line: {','.join(expected)}"
            )
    return files


def _require_judged_by(project: ParsedProject, seeds: list[Path]) -> None:
    """A seed that reconciliation does not read would be compared for a long time, to no end."""
    nodes = project.as_json()["nodes"]
    reached, left = set(), ["model.psp.fct_reconciliation"]
    while left:
        name = left.pop()
        if name in nodes and name not in reached:
            reached.add(name)
            left += nodes[name].get("depends_on", {}).get("nodes", [])
    idle = [path.name for path in seeds if f"seed.psp.{path.stem}" not in reached]
    if idle:
        raise ModelError(
            f"{idle[0]} decides nothing about what is a break.", fix="leave it out: reconciliation does not read it"
        )


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _replace_seed(connection: psycopg.Connection, path: Path) -> None:
    table = sql.Identifier("shadow_reference", path.stem)
    connection.execute(sql.SQL("truncate {}").format(table))
    columns = sql.SQL(", ").join(map(sql.Identifier, _header(path)))
    statement = sql.SQL("copy {} ({}) from stdin (format csv, header)").format(table, columns)
    try:
        with connection.cursor().copy(statement) as copy:
            copy.write(path.read_bytes())
    except psycopg.DataError as error:
        told = str(error).splitlines()[0]
        raise ModelError(f"{path.name} cannot be read as the seed: {told}", fix="correct that line") from None
    connection.execute(sql.SQL("analyze {}").format(table))
