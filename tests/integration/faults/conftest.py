"""Both sandbox servers with faults to order, a fresh warehouse, and feeds run by Dagster: what a fault leaves behind.

After each test every place in which a secret of the run could have been left is searched: the log output, Dagster's
event log with its metadata and error traces, every table of the database, every file under PSP_HOME.
"""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import dagster as dg
import httpx
import pytest
from psycopg import sql

from pipelines.core.postgres import connect
from pipelines.core.runtime import payshack_access, vima_access
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.tags import FEED, MODE
from pipelines.loading import sink
from pipelines.sources.common import pace, transport
from pipelines.sources.common.transport import HttpTransport, PoliteTransport
from pipelines.sources.payshack import source as payshack_source
from pipelines.sources.payshack.client import PayShackClient
from pipelines.sources.vima import client as vima_client
from pipelines.sources.vima import source as vima_source
from tests import provider_history as truth
from tests.sandbox import STANDING_AT, Providers, sandbox_providers

SOURCES = ("vima", "payshack")
MAY_HOLD_SECRETS = ("sandbox.json", "session.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a feed run ended: well, or with what it told."""

    ok: bool
    told: str


@dataclass(slots=True, kw_only=True)
class Lab:
    """One warehouse before two providers that misbehave when told."""

    providers: Providers
    settings: Settings
    url: str
    instance: dg.DagsterInstance
    assets: dict[str, dg.AssetsDefinition]
    patch: pytest.MonkeyPatch
    secrets: set[str] = field(default_factory=set)

    def change(self, **changes: str) -> None:
        """Change settings for the feeds to come."""
        for name, value in changes.items():
            self.patch.setenv(name, value)
        self.settings = load_settings()

    def tell(self, source: str, **fault: Any) -> None:
        """Order a fault."""
        httpx.post(self._control(source), json=fault, trust_env=False).raise_for_status()

    def heal(self, source: str) -> None:
        """Take all faults back."""
        httpx.delete(self._control(source), trust_env=False).raise_for_status()

    def left(self, source: str) -> list[dict[str, Any]]:
        """Faults that have not come yet."""
        found: list[dict[str, Any]] = httpx.get(self._control(source), trust_env=False).json()
        return found

    def feed(self, source: str) -> Outcome:
        """One feed run as the sensor starts it."""
        result = dg.materialize(
            [self.assets[source]],
            instance=self.instance,
            partition_key=STANDING_AT.date().isoformat(),
            tags={MODE: FEED},
            raise_on_error=False,
        )
        self._note_session()
        failures = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
        told = "".join(event.step_failure_data.user_failure_data.description or "" for event in failures)
        return Outcome(ok=result.success, told=told)

    def expected(self, source: str, now: datetime = STANDING_AT) -> set[truth.Version]:
        """What the provider itself holds at `now`."""
        world = self.providers.world
        if source == "vima":
            return truth.vima_versions(world, now)
        return truth.payshack_versions(world, now) | truth.directory_versions(world, now)

    def logged(self, source: str) -> Any:
        """What the raw log holds of it."""
        return truth.logged_versions(self.url, [table for table in truth.TABLES if table.startswith(source)])

    def assert_complete(self, source: str, now: datetime = STANDING_AT) -> None:
        """Exactly what the provider holds, nothing twice, and known as complete."""
        wrong = truth.differences(self.logged(source), self.expected(source, now))
        assert not wrong, "\n".join(wrong[:10])
        assert self.value("select count(*) from raw.source_watermarks where source = %s", source) == 2
        assert self.value("select status from raw.load_runs order by load_run_id desc limit 1") == "succeeded"

    def value(self, statement: str, *parameters: Any) -> Any:
        """The one value of a statement."""
        with connect(self.url) as connection:
            row = connection.execute(statement.encode(), parameters).fetchone()
        return None if row is None else row[0]

    def assert_nothing_told(self, log_text: str) -> None:
        """No secret of the run anywhere but in the two owner-only files that are there to hold them."""
        self._note_session()
        places = {"the log": log_text, **self._events(), **self._tables(), **self._files()}
        assert len(places) > 20
        for place, text in places.items():
            for secret in self.secrets:
                where = text.find(secret)
                if where >= 0:
                    pytest.fail(f"a secret is in {place}, after: {text[max(0, where - 120) : where]!r}")

    def _control(self, source: str) -> httpx.URL:
        access = vima_access(self.settings) if source == "vima" else payshack_access(self.settings)
        address = access.base_url if source == "vima" else access.portal_url  # type: ignore[union-attr]
        return httpx.URL(address).copy_with(path="/sandbox/faults", query=None)

    def _note_session(self) -> None:
        home = self.settings.psp_home
        state = json.loads((home / "sandbox.json").read_text())
        self.secrets |= {state["vima"]["api_key"], self.url.split(":")[2].split("@")[0]}
        self.secrets |= {state["payshack"][name] for name in ("password", "response_secret", "response_iv")}
        session = home / "payshack" / "session.json"
        if session.exists():
            kept = json.loads(session.read_text())
            self.secrets |= {kept["token"], *(cookie["value"] for cookie in kept["cookies"])}
            assert session.stat().st_mode & 0o077 == 0

    def _events(self) -> dict[str, str]:
        found = {}
        for run in self.instance.get_runs():
            found[f"run {run.run_id}"] = dg.serialize_value(run) + "".join(
                dg.serialize_value(entry) for entry in self.instance.all_logs(run.run_id)
            )
        return found

    def _tables(self) -> dict[str, str]:
        found = {}
        with connect(self.url) as connection:
            tables = connection.execute(
                "select schemaname, tablename from pg_tables"
                " where schemaname not in ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in tables:
                rows = connection.execute(
                    sql.SQL("select found::text from {} as found").format(sql.Identifier(schema, table))
                ).fetchall()
                found[f"{schema}.{table}"] = "\n".join(row[0] for row in rows)
        return found

    def _files(self) -> dict[str, str]:
        files = (path for path in self.settings.psp_home.rglob("*") if path.is_file())
        return {str(path): path.read_text("latin-1") for path in files if path.name not in MAY_HOLD_SECRETS}


@pytest.fixture(scope="session")
def faulty_providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    """A small standing world of a week, and servers that take orders for faults."""
    with sandbox_providers(
        tmp_path_factory.mktemp("faults"),
        orders=240,
        vima=("--faults",),
        payshack=("--faults", "--envelope", "passphrase"),
    ) as running:
        yield running


@pytest.fixture(scope="session")
def raw_assets() -> dict[str, dg.AssetsDefinition]:
    """The raw assets alone: a fault is told by them, and the models would only cost time."""
    with warnings.catch_warnings():
        # Said where the code location is loaded, too, and heard by nobody there.
        warnings.simplefilter("ignore", dg.BetaWarning)
        from pipelines.defs.ingest.payshack import payshack
        from pipelines.defs.ingest.vima import vima_operations
    return {"vima": vima_operations, "payshack": payshack}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, retries and pages as always, only shorter and smaller."""
    usual = PoliteTransport._wait
    monkeypatch.setattr(PoliteTransport, "_wait", lambda self, state: usual(self, state) / 200)
    monkeypatch.setattr(pace, "FIRST_EXTRA_SECONDS", 0.002)
    monkeypatch.setattr(pace, "MAX_EXTRA_SECONDS", 0.02)
    monkeypatch.setattr(pace, "NEGLIGIBLE_SECONDS", 0.001)
    monkeypatch.setitem(HttpTransport.__init__.__kwdefaults__, "patience", replace(transport.LOAD, read_seconds=3.0))
    monkeypatch.setattr(vima_client, "PAGE_SIZE", 40)
    monkeypatch.setattr(vima_source, "PAGE_SIZE", 40)
    monkeypatch.setattr(sink, "LEAST_PAGES", 3)
    small_pages(monkeypatch, payshack=15)


def small_pages(patch: pytest.MonkeyPatch, *, payshack: int) -> None:
    """PayShack's pages hold so many records."""
    patch.setattr(payshack_source, "PAGE_SIZE", payshack)
    for method in (PayShackClient.listing, PayShackClient.day):
        patch.setitem(method.__kwdefaults__, "limit", payshack)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any library says in this process, down to the last detail."""
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    usual = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(usual)


@pytest.fixture
def lab(
    faulty_providers: Providers,
    warehouse: str,
    impatient: None,
    raw_assets: dict[str, dg.AssetsDefinition],
    monkeypatch: pytest.MonkeyPatch,
    log: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Lab]:
    """Everything well at first; searched for secrets at the end."""
    for name, value in (faulty_providers.environment | {"PSP_DATABASE_URL": warehouse}).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        made = Lab(
            providers=faulty_providers,
            settings=load_settings(),
            url=warehouse,
            instance=instance,
            assets=raw_assets,
            patch=monkeypatch,
        )
        for source in SOURCES:
            made.heal(source)
        yield made
        for source in SOURCES:
            made.heal(source)
        captured = capfd.readouterr()
        made.assert_nothing_told(log.getvalue() + captured.out + captured.err)
