"""The whole chain as docker-compose.yml deploys it: `psp prepare`, the services, their health checks, sensors, runs,
Chromium, models; compared with the answer key, order by order."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pipelines.core.postgres import connect
from pipelines.core.settings import Settings
from tests.answer_key import assert_as_expected, reconciliation
from tests.conftest import copy_database, drop_database, take_parsed_models
from tests.deployment import services, wait_for_check
from tests.integration.cli.conftest import addresses_of, assert_nothing_left, run_psp, wait_for
from tests.sandbox import SERVER_PORTS, STANDING_AT, Providers, free_ports

pytestmark = pytest.mark.slow

LOADS_SECONDS = 240
FEEDS = {"vima_feed_job", "payshack_feed_job"}
TABLES = (
    "raw.vima_operations",
    "raw.payshack_payins",
    "raw.payshack_payouts",
    "marts.fct_transactions",
    "marts.fct_transaction_versions",
    "marts.fct_reconciliation",
    "marts.rpt_reconciliation_daily",
    "marts.rpt_metrics_hourly",
    "marts.rpt_metrics_daily",
)


@pytest.fixture
def deployment(tmp_path: Path, providers: Providers, server_url: str, parsed_models: Path) -> Iterator[dict[str, str]]:
    """Variables as in production, over an empty database and providers that stand still."""
    home, url = tmp_path / "home", copy_database(server_url, None)
    take_parsed_models(parsed_models, home)
    variables = addresses_of(providers) | {
        "PSP_HOME": str(home),
        "PSP_DATABASE_URL": url,
        "DAGSTER_HOME": str(home / "dagster"),
        "PSP_SANDBOX_ORDERS": providers.environment["PSP_SANDBOX_ORDERS"],
        "VIMA_POLL_SECONDS": "60",
        "PAYSHACK_POLL_SECONDS": "300",
    }
    variables |= free_ports(SERVER_PORTS)
    yield variables
    assert_nothing_left(home)
    drop_database(url)


def test_the_services_bring_every_order_to_where_the_answer_key_says(
    deployment: dict[str, str], providers: Providers, tmp_path: Path
) -> None:
    settings = providers.settings(**deployment)
    for _ in range(2):  # safe to repeat
        prepared = run_psp("prepare", environment=deployment)
        assert prepared.code == 0, prepared.err
    web, api = deployment["PSP_DAGSTER_PORT"], deployment["PSP_SIDECAR_PORT"]
    with services("webserver", "daemon", "sidecar", environment=deployment, folder=tmp_path):
        for name, changes in (("webserver", {"3000": web}), ("sidecar", {"8000": api}), ("daemon", {})):
            wait_for_check(name, changes, deployment)
        wait_for(lambda: feeds_done(settings), "a feed run of each source", seconds=LOADS_SECONDS)
    assert (settings.psp_home / "payshack" / "session.json").exists(), "Chromium has signed in"
    assert_as_expected(providers.world, settings)
    assert len(reconciliation(settings)) > 2500

    before = contents(settings)
    again = run_psp("sync", "all", "--json", environment=deployment)
    assert again.code == 0, again.err
    assert json.loads(again.out)
    assert contents(settings) == before, "a second pass over unchanged sources changes nothing"


def feeds_done(settings: Settings) -> bool:
    """A feed run of each source that a sensor launched has succeeded, and none is on its way. Fails on a failed run."""
    with connect(url_of(settings)) as connection:
        rows = connection.execute(
            "select pipeline_name, status, run_body::json -> 'tags' from dagster.runs order by id"
        ).fetchall()
        told = connection.execute(
            "select event::json ->> 'user_message', event from dagster.event_logs"
            " where dagster_event_type in ('STEP_FAILURE', 'PIPELINE_FAILURE')"
        ).fetchall()
    failed = [name for name, status, _ in rows if status in ("FAILURE", "CANCELED")]
    assert not failed, f"{failed}: {told}"
    done = {name: tags for name, status, tags in rows if status == "SUCCESS" and name in FEEDS}
    for name, tags in done.items():
        assert tags["dagster/sensor_name"] == name.replace("_job", "_sensor")
        assert tags["dagster/partition"] == STANDING_AT.date().isoformat()
    return done.keys() == FEEDS and all(status == "SUCCESS" for _, status, _ in rows)


def contents(settings: Settings) -> dict[str, str]:
    """Everything that the tables hold, down to which transaction wrote a row, as one hash a table."""
    found = {}
    with connect(url_of(settings)) as connection:
        for table in TABLES:
            statement = sql.SQL("select t::text from {} as t order by 1").format(sql.Identifier(*table.split(".")))
            rows = connection.execute(statement).fetchall()
            assert rows, table
            found[table] = hashlib.sha256("\n".join(row[0] for row in rows).encode()).hexdigest()
    return found


def url_of(settings: Settings) -> str:
    assert settings.psp_database_url is not None
    return settings.psp_database_url.get_secret_value()
