"""All worlds, told and modelled once: late tellings first, in pieces under a moving clock, then the others at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.postgres import connect
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from tests.conftest import copy_database, drop_database, take_parsed_models
from tests.integration.dbt.conftest import Warehouse
from tests.properties import tellings
from tests.properties.worlds import COLUMNS, World, portion_ends, settled_at

WORLDS = 200
ORDERS = 200
MODELS = ["--select", "+fct_reconciliation"]


@dataclass(slots=True, kw_only=True)
class Told:
    """The warehouse after all portions, with what was noted on the way; `rebuilt` says that a full refresh followed."""

    warehouse: Warehouse
    is_rebuilt: bool = False
    noted: dict[str, int] = field(default_factory=dict)

    def run(self, portion: int, *flags: str) -> None:
        """The models that reconciliation stands on, at the clock of a portion."""
        views = [] if flags else ["--exclude", "config.materialized:view"]
        outcome = self.warehouse.invoke(portion_ends()[portion], ["run", *flags, *MODELS, *views])
        assert outcome.success, outcome.exception or [result.message for result in outcome.result if result.message]

    def query(self, statement: str) -> list[dict[str, Any]]:
        return self.warehouse.query(statement)

    def none(self, statement: str) -> None:
        """Fails with the first rows of a statement that must find none."""
        found = self.query(statement)
        if found:
            lines = "\n".join(json.dumps(row, default=str) for row in found[:3])
            pytest.fail(f"{len(found)} rows, the first of them:\n{lines}")


@pytest.fixture(scope="module")
def told(
    server_url: str, prepared_template: str, parsed_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    """200 worlds of 200 orders in three tellings."""
    url, home = copy_database(server_url, prepared_template), str(tmp_path_factory.mktemp("properties"))
    take_parsed_models(parsed_models, Path(home))

    def settings(**changes: str) -> Settings:
        return load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": home} | changes)

    warehouse = Warehouse(url=url, project=parsed_project(settings()), make_settings=settings)
    told = Told(warehouse=warehouse)
    assert warehouse.invoke(settled_at(), ["seed"]).success
    for statement in tellings.TABLES:
        warehouse.query(statement)
    _write_down(url)
    for statement in (*tellings.VERSIONS, *tellings.RULES):
        warehouse.query(statement)
    for portion, end in enumerate(portion_ends()):
        for statement in tellings.PORTION:
            warehouse.query(statement, {"portion": portion, "now": end})
        told.run(portion, *(["--full-refresh"] if portion == 0 else []))
        warehouse.query(tellings.SEEN.format(portion=portion))
    warehouse.query("analyze intermediate.int_transactions__current, marts.fct_reconciliation")
    yield told
    drop_database(url)


def _write_down(url: str) -> None:
    names = [name.strip() for name in COLUMNS.split(",")]
    with connect(url, application="test") as connection:
        with connection.cursor().copy(f"copy told.versions ({COLUMNS}) from stdin".encode()) as copy:
            for number in range(WORLDS):
                for version in World(number, orders=ORDERS).versions():
                    copy.write_row([getattr(version, "status_class" if n == "class" else n) for n in names])
        for number in range(WORLDS):
            world = World(number, orders=0)
            connection.execute(
                "insert into told.worlds values (%s, %s, %s)", (number, world.is_tolerant, tellings.shift_of(world))
            )
