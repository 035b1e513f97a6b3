"""A warehouse for measurements: its own PostgreSQL, prepared and empty, with the ways to run the models over it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.core import embedded_postgres
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from tests.integration.dbt.conftest import Warehouse


@contextmanager
def bench_warehouse() -> Iterator[Warehouse]:
    """Gone at the end of the block, data and all."""
    with tempfile.TemporaryDirectory(prefix="psp-bench-") as folder:
        environment = {"PSP_HOME": str(Path(folder) / "home")}
        settings = load_settings(environment)
        url = embedded_postgres.start(settings)
        try:
            prepare_warehouse(url)

            def make_settings(**changes: str) -> Settings:
                return load_settings(environment | {"PSP_DATABASE_URL": url} | changes)

            yield Warehouse(url=url, project=parsed_project(make_settings()), make_settings=make_settings)
        finally:
            embedded_postgres.stop(settings)
