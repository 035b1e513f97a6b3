"""A source that stops for two hours makes no false alarm, is seen to be stale, and leaves no trace once it delivers."""

from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from psycopg.rows import dict_row

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import Depth, run_models
from pipelines.loading.payshack import load_payshack_feed
from pipelines.loading.vima import load_vima_feed
from tests.conftest import copy_database, take_parsed_models
from tests.sandbox import STANDING_AT, Providers, sandbox_providers

OUTAGE = timedelta(hours=2)
MARTS = ("fct_reconciliation", "fct_transactions")
READ = tuple(f"+{mart}" for mart in (*MARTS, "rpt_source_health"))


def rows(settings: Settings, mart: str) -> list[dict[str, object]]:
    with connect(database_url(settings), role=READER) as connection:
        statement = f"select * from marts.{mart}"  # noqa: S608 - a name of our own
        found = connection.cursor(row_factory=dict_row).execute(statement.encode()).fetchall()
    # When a row was seen and written is not what it says.
    told = [
        {name: row[name] for name in row if name not in ("changed_xid", "first_seen_at", "last_seen_at")}
        for row in found
    ]
    return sorted(told, key=lambda row: str(next(iter(row.values()))))


def missing(settings: Settings) -> set[object]:
    found = rows(settings, "fct_reconciliation")
    return {row["reconciliation_id"] for row in found if str(row["outcome"]).startswith("missing")}


def stale_sources(settings: Settings, now: datetime) -> set[object]:
    with connect(database_url(settings), role=READER) as connection:
        found = connection.execute(
            "select source from marts.rpt_source_health where watermark < %s", (now - timedelta(minutes=30),)
        ).fetchall()
    return {row[0] for row in found}


def run(providers: Providers, url: str, *, payshack: bool, depth: Depth = "changes") -> Settings:
    settings = providers.settings(PSP_DATABASE_URL=url, PAYSHACK_LOOKBACK_DAYS="31")
    load_vima_feed(settings)
    if payshack:
        load_payshack_feed(settings)
    run_models(settings, project=parsed_project(settings), depth=depth, select=() if depth == "models" else READ)
    return settings


@pytest.mark.slow
def test_an_outage_of_two_hours_alarms_nobody_and_heals_without_a_trace(
    warehouse: str, server_url: str, parsed_models: Path, tmp_path: Path
) -> None:
    take_parsed_models(parsed_models, tmp_path)

    def world_at(now: datetime) -> object:
        return sandbox_providers(tmp_path, orders=1200, seed=5, now=now, payshack=("--envelope", "plain"))

    with world_at(STANDING_AT) as providers:  # type: ignore[attr-defined]
        settings = run(providers, warehouse, payshack=True, depth="models")
        assert stale_sources(settings, STANDING_AT) == set()
    # From here on one warehouse hears nothing of PayShack for two hours, the other hears everything.
    control = copy_database(server_url, urlsplit(warehouse).path.lstrip("/"))
    for minutes in (40, 120):
        now = STANDING_AT + timedelta(minutes=minutes)
        with world_at(now) as providers:  # type: ignore[attr-defined]
            settings = run(providers, warehouse, payshack=False)
            beside = run(providers, control, payshack=True)
            assert stale_sources(settings, now) == {"payshack"}
            assert missing(settings) - missing(beside) == set()
            waiting = [row for row in rows(settings, "fct_reconciliation") if row["awaited_source"] == "payshack"]
            assert waiting
    with world_at(STANDING_AT + OUTAGE) as providers:  # type: ignore[attr-defined]
        settings = run(providers, warehouse, payshack=True)
        assert stale_sources(settings, STANDING_AT + OUTAGE) == set()
        for mart in MARTS:
            assert rows(settings, mart) == rows(beside, mart)
