"""A fresh warehouse with the dbt project parsed for it, and dbt itself, run as the platform runs it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.settings import Settings
from pipelines.defs.model.dbt_runner import dbt_runner
from pipelines.defs.model.manifest import ParsedProject, environment, parsed_project, project_flags
from pipelines.defs.model.runner import SESSION_OPTIONS, ModelReport, run_models

BOOKKEEPING = frozenset({"changed_xid", "evaluated_at"})
"""Columns of marts that say when a row was written, not what it says."""

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A prepared database, the project parsed for it, and the ways in which the models are run."""

    url: str
    project: ParsedProject
    make_settings: Callable[..., Settings]

    def changes(self, now: datetime, *select: str) -> ModelReport:
        """One incremental run at `now`, as after every minute's load; of what a test reads alone, if it names it."""
        return run_models(self._settings(now), project=self.project, depth="changes", select=select)

    def models(self, now: datetime) -> ModelReport:
        """Seeds and models at `now`; the first run of a warehouse is a full refresh."""
        return run_models(self._settings(now), project=self.project, depth="models")

    def rebuild(self, now: datetime, *select: str) -> None:
        """Every model, or those that a test reads alone, from the raw log, with the seeds as the database has them."""
        outcome = self.invoke(now, ["run", "--full-refresh", *(("--select", *select) if select else ())])
        assert outcome.success, outcome.exception or [r.message for r in outcome.result.results if r.message]

    def invoke(self, now: datetime, arguments: Sequence[str], manifest: Any = None) -> Any:
        """dbt with any arguments, over the project or what a test has made of it; what it returns."""
        work = str(self._settings(now).psp_home / "dbt" / "test")
        variables = json.dumps({"now": now.isoformat(), "business_timezone": "Asia/Kolkata"})
        flags = ["--vars", variables, "--target-path", work, "--log-path", work, "--no-write-json"]
        with _profile(self.url):
            runner = dbt_runner(manifest or self.project.as_manifest(unit_tests=True))
            return runner.invoke([*arguments, *project_flags(), *flags])

    def query(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """Rows of a statement, committed."""
        with connect(self.url, application="test") as connection:
            cursor = connection.cursor(row_factory=dict_row).execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def marts(self) -> dict[str, Rows]:
        """Every row of every mart, less its bookkeeping, in an order that does not depend on how it was written."""
        with connect(self.url, application="test") as connection:
            names = connection.execute(
                "select table_name, array_agg(column_name::text order by column_name) from information_schema.columns"
                " where table_schema = 'marts' group by table_name order by table_name"
            ).fetchall()
            return {name: _rows(connection, name, columns) for name, columns in names}

    def _settings(self, now: datetime) -> Settings:
        return self.make_settings(PSP_NOW=now.isoformat())


def _rows(connection: Any, name: str, columns: list[str]) -> Rows:
    kept = [column for column in columns if column not in BOOKKEEPING]
    statement = sql.SQL("select {} from marts.{}").format(
        sql.SQL(", ").join(map(sql.Identifier, kept)), sql.Identifier(name)
    )
    return sorted((tuple(zip(kept, map(_value, row), strict=True)) for row in connection.execute(statement)), key=repr)


def _value(value: Any) -> Any:
    """Numbers by value: 1.50 and 1.5 are one amount."""
    return value.normalize() + 0 if isinstance(value, Decimal) else value


@contextmanager
def _profile(url: str) -> Iterator[None]:
    """What profiles.yml and libpq read, as the runner sets it."""
    parts = conninfo_to_dict(url)
    names = ("host", "port", "user", "password", "dbname")
    values = {f"DBT_PSP_{name.upper()}": str(parts[name]) for name in names if parts.get(name)}
    with environment(values | {"PGOPTIONS": f"-c role={TRANSFORMER} {SESSION_OPTIONS}"}):
        yield


@pytest.fixture
def dbt_warehouse(warehouse: str, make_settings: Callable[..., Settings]) -> Warehouse:
    """A fresh warehouse, nothing built yet."""
    return Warehouse(url=warehouse, project=parsed_project(make_settings()), make_settings=make_settings)
