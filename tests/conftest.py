"""What all tests stand on: one real embedded PostgreSQL for the whole run, and a fresh, prepared database per test.

Nothing here touches the network beyond loopback, and nothing is left running.
"""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
from psycopg import sql

from pipelines.core import embedded_postgres
from pipelines.core.postgres import connect, prepare_warehouse
from pipelines.core.settings import Settings, load_settings
from tests.sandbox import Providers, sandbox_providers

# How long an example takes depends on who else uses the machine; that tests hang is seen by pytest's own time-out.
hypothesis.settings.register_profile("psp", deadline=None)
hypothesis.settings.load_profile("psp")

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder for this run alone, and signals that work.

    By default every run closes the common folder of its user to others (chmod 700); a PostgreSQL that an earlier
    run started as another user would lose its data directory in mid-flight. Kept when a run fails, to be looked at.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A background job of a shell ignores SIGINT. Dagster copies that to SIGTERM, and every process of a test would
        # inherit it: none would end before it is killed.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.option.basetemp and not hasattr(config, "workerinput"):
        config.option.basetemp = tempfile.mkdtemp(prefix="psp-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove this run's folder after a run without failures."""
    folder = Path(session.config.option.basetemp)
    if exitstatus == pytest.ExitCode.OK and folder.name.startswith("psp-tests-"):
        shutil.rmtree(folder, ignore_errors=True)


# What runs the whole platform or the models many times over: begun first, so that none of them is the last one.
LONG = ("tests/e2e", "tests/properties", "tests/integration/dagster", "tests/integration/cli", "tests/integration/dbt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; files stay whole and in their own order."""
    root = Path(__file__).parents[1]

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(root).as_posix()
        return next((number for number, folder in enumerate(LONG) if name.startswith(folder)), len(LONG))

    items.sort(key=place)


def on_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def copy_database(url: str, template: str | None) -> str:
    """URL of a new database, empty or a copy of `template`; copying costs a tenth of making anew."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    statement = sql.SQL("create database {}").format(sql.Identifier(name))
    if template:
        statement += sql.SQL(" template {}").format(sql.Identifier(template))
    with connect(on_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(statement)
    return on_database(url, name)


def drop_database(url: str) -> None:
    """Remove a database of a test, whoever is still connected."""
    name = urlsplit(url).path.lstrip("/")
    with connect(on_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def _only_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests must not decide how they end."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL for the length of the run, started as the platform itself starts it."""
    settings = load_settings({"PSP_HOME": str(tmp_path_factory.mktemp("server"))})
    yield embedded_postgres.start(settings)
    embedded_postgres.stop(settings)


@pytest.fixture(scope="session")
def prepared_template(server_url: str) -> str:
    """Name of a database with schemas, roles and the empty raw log, to be copied."""
    url = copy_database(server_url, None)
    prepare_warehouse(url)
    return urlsplit(url).path.lstrip("/")


@pytest.fixture
def warehouse(server_url: str, prepared_template: str) -> Iterator[str]:
    """URL of a fresh warehouse with an empty raw log."""
    url = copy_database(server_url, prepared_template)
    yield url
    drop_database(url)


@pytest.fixture(scope="session")
def parsed_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project as a PSP_HOME keeps it parsed; made once for all processes of the run, for it costs seconds."""
    from pipelines.defs.model.manifest import parsed_project

    here = tmp_path_factory.getbasetemp()
    run = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here
    return parsed_project(load_settings({"PSP_HOME": str(run / "parsed-models")})).folder.parent


def take_parsed_models(parsed: Path, home: Path) -> None:
    """Give a PSP_HOME the parsed project, as an earlier start would have left it there."""
    ignored = shutil.ignore_patterns(".lock")
    shutil.copytree(parsed, home / "dbt" / "parsed", copy_function=os.link, ignore=ignored, dirs_exist_ok=True)


@pytest.fixture
def make_settings(warehouse: str, parsed_models: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings over the fresh warehouse and a PSP_HOME without data; keyword arguments are further variables."""
    take_parsed_models(parsed_models, tmp_path)

    def make(**changes: str) -> Settings:
        return load_settings({"PSP_DATABASE_URL": warehouse, "PSP_HOME": str(tmp_path)} | changes)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """The plainest settings over the fresh warehouse."""
    return make_settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A world that stands still, loaded and modelled: a template database and the servers that it came from."""

    template: str
    providers: Providers


@pytest.fixture(scope="session")
def providers(tmp_path_factory: pytest.TempPathFactory, parsed_models: Path) -> Iterator[Providers]:
    """Both sandbox servers over one standing world, for all tests that only read them."""
    home = tmp_path_factory.mktemp("providers")
    take_parsed_models(parsed_models, home)
    with sandbox_providers(home) as running:
        yield running


@pytest.fixture(scope="session")
def loaded(providers: Providers, server_url: str, prepared_template: str) -> Loaded:
    """The standing world in the raw log and the marts, through the real loaders and the real models; made once."""
    from pipelines.defs.model.manifest import parsed_project
    from pipelines.defs.model.runner import run_models
    from pipelines.loading.payshack import load_payshack_feed
    from pipelines.loading.vima import load_vima_feed

    url = copy_database(server_url, prepared_template)
    settings = providers.settings(PSP_DATABASE_URL=url)
    load_vima_feed(settings)
    load_payshack_feed(settings)
    run_models(settings, project=parsed_project(settings), depth="models")
    return Loaded(template=urlsplit(url).path.lstrip("/"), providers=providers)


@pytest.fixture
def loaded_settings(loaded: Loaded, server_url: str) -> Iterator[Settings]:
    """Settings over a copy of the loaded warehouse, free to be changed."""
    url = copy_database(server_url, loaded.template)
    yield loaded.providers.settings(PSP_DATABASE_URL=url)
    drop_database(url)
