"""The code location over a loaded warehouse of its own, and a Dagster instance that forgets: what a tick sees."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest

from pipelines.core.postgres import connect
from pipelines.core.settings import Settings, load_settings
from tests.conftest import Loaded, copy_database, drop_database, take_parsed_models

OURS = ("PSP_", "VIMA_", "PAYSHACK_", "DAGSTER_")
HELD_BY_THE_HOME = ("dlt", "dbt", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One warehouse, one PSP_HOME, and the definitions as loaded over them. `environment` is that of its processes."""

    environment: dict[str, str]
    repository: Any
    definitions: dg.Definitions
    template: str

    @property
    def settings(self) -> Settings:
        """What a process of the platform reads from the environment as it is just now."""
        return load_settings(dict(os.environ))

    @property
    def home(self) -> Path:
        """PSP_HOME."""
        return Path(self.environment["PSP_HOME"])

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement in the warehouse, as its owner."""
        with self.connect() as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def connect(self) -> psycopg.Connection:
        """A connection to the warehouse."""
        return connect(self.environment["PSP_DATABASE_URL"])

    def job(self, name: str) -> dg.JobDefinition:
        """A job that can be run in this process."""
        return self.definitions.resolve_job_def(name)

    def tick(self, sensor: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
        """What one tick of the sensor decides."""
        definition = self.repository.get_sensor_def(sensor)
        with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=self.repository) as context:
            return definition.evaluate_tick(context)


@pytest.fixture(scope="module")
def made_platform(
    loaded: Loaded, server_url: str, parsed_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Made once a module: loading the definitions costs seconds."""
    from pipelines.definitions import defs

    url = copy_database(server_url, loaded.template)
    home = tmp_path_factory.mktemp("platform") / "home"
    source = Path(loaded.providers.environment["PSP_HOME"])
    shutil.copytree(source, home, ignore=shutil.ignore_patterns(*HELD_BY_THE_HOME))
    take_parsed_models(parsed_models, home)
    environment = loaded.providers.environment | {"PSP_DATABASE_URL": url, "PSP_HOME": str(home)}
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, environment)
        definitions = defs()
        made = Platform(
            environment=environment,
            repository=definitions.get_repository_def(),
            definitions=definitions,
            template=loaded.template,
        )
    yield made
    drop_database(url)


@pytest.fixture
def platform(made_platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The platform, with the environment of its processes for the length of a test and its files as they were after."""
    set_environment(monkeypatch, made_platform.environment)
    kept = made_platform.home.with_name("kept")
    shutil.copytree(made_platform.home / "payshack", kept, dirs_exist_ok=True)
    yield made_platform
    shutil.rmtree(made_platform.home / "payshack", ignore_errors=True)
    kept.rename(made_platform.home / "payshack")


def set_environment(patch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Exactly `environment` where the platform's own variables are concerned."""
    for name in list(os.environ):
        if name.startswith(OURS):
            patch.delenv(name)
    for name, value in environment.items():
        patch.setenv(name, value)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that forgets everything."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def database_name(url: str) -> str:
    """The name of a URL's database."""
    return urlsplit(url).path.lstrip("/")
