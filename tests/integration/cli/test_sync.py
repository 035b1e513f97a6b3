"""`psp sync`: one pass from nothing to marts, again without a change, by days, and with a day that fails."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from pipelines.core import embedded_postgres
from pipelines.core.postgres import connect
from pipelines.core.settings import load_settings
from tests.integration.cli.conftest import addresses_of, assert_nothing_left, run_psp, start_psp, wait_for
from tests.sandbox import STANDING_AT, sandbox_providers

LOG_TABLES = ("vima_operations", "payshack_payins", "payshack_payouts", "quarantine")
MARTS = ("fct_transactions", "fct_transaction_versions", "fct_reconciliation", "rpt_reconciliation_daily")


def contents(url: str) -> dict[str, Any]:
    """Rows of the raw log, and what is in the marts."""
    count = sql.SQL("select count(*) from raw.{}")
    digest = sql.SQL("select count(*), md5(string_agg(m::text, '|' order by m::text)) from marts.{} as m")
    queries = {table: count.format(sql.Identifier(table)) for table in LOG_TABLES}
    queries |= {mart: digest.format(sql.Identifier(mart)) for mart in MARTS}
    with connect(url) as connection:
        return {name: connection.execute(query).fetchone() for name, query in queries.items()}


def test_a_fresh_machine_comes_to_marts_and_nothing_stays_running(platform: dict[str, str], home: Path) -> None:
    environment = platform | {"PSP_NOW": STANDING_AT.isoformat()}
    first = run_psp("sync", "all", "--json", environment=environment)
    assert first.code == 0, first.err
    told = json.loads(first.out)
    assert told["ok"] is True
    assert {load["source"] for load in told["loads"]} == {"vima", "payshack"}
    assert all(load["rows_new"] > 0 for load in told["loads"])
    assert told["models"]["full_refresh"] is True
    assert_nothing_left(home, seconds=0)

    settings = load_settings({"PSP_HOME": str(home)})
    url = embedded_postgres.start(settings)
    try:
        before = contents(url)
        second = run_psp("sync", "all", "--json", environment=environment)
        assert second.code == 0, second.err
        assert [load["rows_new"] for load in json.loads(second.out)["loads"]] == [0, 0]
        assert contents(url) == before
        # It was running before the command, so it is running behind it.
        assert embedded_postgres.is_running(settings)
    finally:
        embedded_postgres.stop(settings)


def test_a_failing_day_does_not_stop_the_others_and_is_read_by_the_next_pass(
    outside: dict[str, str], warehouse: str, tmp_path: Path
) -> None:
    with sandbox_providers(tmp_path / "faulty", orders=400, vima=("--faults",)) as providers:
        addresses = addresses_of(providers)
        # The second request of the range is refused once; a refused page is not tried again.
        control = f"{httpx.URL(addresses['VIMA_BASE_URL']).copy_with(path='/sandbox/faults')}"
        fault = {"fault": "status", "status": 404, "times": 1, "after": 2}
        httpx.post(control, json=fault, trust_env=False).raise_for_status()
        days = ("--from", "2026-01-10", "--to", "2026-01-13")
        answer = run_psp("sync", "vima", *days, "--json", environment=outside | addresses)
        told = json.loads(answer.out)
        results = {load["scope"]: load["ok"] for load in told["loads"]}
        assert list(results) == ["2026-01-10", "2026-01-11", "2026-01-12", "2026-01-13"]
        assert list(results.values()).count(False) == 1
        answer.assert_one_error("404")
        assert told["models"]["built"] > 0
        again = run_psp("sync", "vima", *days, environment=outside | addresses)
    # For people: a table, and the progress apart from it.
    assert again.code == 0, again.err
    heading, *lines = [line.split() for line in again.out.splitlines()]
    assert heading == ["source", "scope", "pages", "rows", "read", "new", "quarantined", "seconds", "result"]
    assert [(line[0], line[1], line[-1]) for line in lines[: len(results)]] == [("vima", day, "ok") for day in results]
    assert "Vima:" in again.err
    assert "Models:" in again.err
    with connect(warehouse) as connection:
        passes = connection.execute("select count(*) from raw.window_passes where source = 'vima'").fetchone()
    assert passes == (4,)


def test_an_interrupted_pass_ends_in_order(platform: dict[str, str], home: Path, warehouse: str) -> None:
    environment = platform | {"PSP_DATABASE_URL": warehouse, "PSP_SANDBOX_ORDERS": "20000"}
    log = home.parent / "sync.log"
    process = start_psp("sync", "all", environment=environment, log=log)
    wait_for(lambda: _raw_rows(warehouse) > 0, "the first rows", seconds=60)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 1
    said = log.read_text().splitlines()
    assert [line for line in said if line.startswith(("error:", "fix:"))] == [
        "error: Interrupted.",
        "fix: run it again; what was committed before is kept",
    ]
    assert_nothing_left(home, seconds=0)
    with connect(warehouse) as connection:
        assert connection.execute("select count(*) from raw.load_runs where status = 'running'").fetchone() == (0,)


def _raw_rows(url: str) -> int:
    with connect(url) as connection:
        row = connection.execute("select count(*) from raw.vima_operations").fetchone()
    return int(row[0]) if row else 0


def test_a_silent_provider_is_not_asked_for_every_day(outside: dict[str, str]) -> None:
    silent = outside | {"PAYSHACK_PORTAL_URL": "http://127.0.0.1:9"}
    days = ("--from", "2026-01-01", "--to", "2026-01-10")
    answer = run_psp("sync", "payshack", *days, "--json", environment=silent)
    answer.assert_one_error("portal does not open")
    assert len(json.loads(answer.out)["loads"]) == 3


def test_reconcile_and_export_say_what_the_marts_say(loaded_settings: Any, home: Path, tmp_path: Path) -> None:
    url = loaded_settings.psp_database_url.get_secret_value()
    environment = {"PSP_HOME": str(home), "PSP_DATABASE_URL": url, "PSP_NOW": STANDING_AT.isoformat()}
    days = ("--from", "2026-01-01", "--to", "2026-01-15")
    answer = run_psp("reconcile", *days, "--json", environment=environment)
    assert answer.code == 0, answer.err
    groups = json.loads(answer.out)["groups"]
    with connect(url) as connection:
        rows = connection.execute(
            "select project, flow, currency, sum(matched_count), sum(value_at_risk), sum(vima_net), sum(payshack_net)"
            " from marts.rpt_reconciliation_daily where business_date between '2026-01-01' and '2026-01-15'"
            " group by project, flow, currency order by project, flow, currency"
        ).fetchall()
        transactions = connection.execute("select count(*) from marts.fct_transactions where flow = 'payin'").fetchone()
    names = ("project", "flow", "currency", "matched_count", "value_at_risk", "vima_net", "payshack_net")
    assert [tuple(str(group[name]) for name in names) for group in groups] == [
        tuple(str(value) for value in row) for row in rows
    ]
    assert {group["bridge_residual"].strip("0.") for group in groups} == {""}

    table = run_psp("reconcile", *days, environment=environment)
    assert table.code == 0, table.err
    assert "value" in table.out
    assert "residual" in table.out

    target = tmp_path / "payins.csv"
    exported = run_psp("export", "transactions", "--flow", "payin", "--out", str(target), environment=environment)
    assert exported.code == 0, exported.err
    assert transactions is not None
    assert len(target.read_text().splitlines()) == transactions[0] + 1
    book = tmp_path / "breaks.xlsx"
    assert run_psp("export", "reconciliation", "--out", str(book), environment=environment).code == 0
    assert book.read_bytes().startswith(b"PK")
    wrong = run_psp("export", "transactions", "--flow", "sideways", "--out", str(target), environment=environment)
    wrong.assert_one_error("flow")


@pytest.mark.parametrize("command", ["sync", "up"])
def test_a_user_without_rights_is_told(home: Path, command: str, warehouse: str) -> None:
    """A user who may not lay out the warehouse is told so, with what to do."""
    with connect(warehouse, autocommit=True) as connection:
        connection.execute("create role newcomer login password 'invented-secret'")
    try:
        address = psycopg.conninfo.conninfo_to_dict(warehouse)
        url = f"postgresql://newcomer:invented-secret@{address['host']}:{address['port']}/{address['dbname']}"
        arguments = ("sync", "vima") if command == "sync" else ("up",)
        answer = run_psp(*arguments, environment={"PSP_HOME": str(home), "PSP_DATABASE_URL": url})
        answer.assert_one_error("may not prepare the warehouse", "CREATEROLE")
        assert_nothing_left(home)
    finally:
        with connect(warehouse, autocommit=True) as connection:
            connection.execute("drop role newcomer")
