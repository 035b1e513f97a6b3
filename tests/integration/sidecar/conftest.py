"""A warehouse with real marts, made once by dbt from raw rows that are written here, and a real sidecar over it.

240 invented orders over four business days: most agree, some differ in amount or status, some are missing on a side.
Some hold what must not hurt: text that a spreadsheet takes for a formula, many digits, a negative fee, a comma.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from pipelines.core.postgres import LOADER, connect
from pipelines.core.settings import PROJECT_ROOT, Settings, load_settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import run_models
from pipelines.sidecar.keys import SCOPES, create_key
from tests.conftest import take_parsed_models
from tests.sandbox import SERVER_PORTS, free_ports

NOW = datetime(2026, 1, 20, 12, 0, tzinfo=UTC)
ORDERS = 240
FIRST = NOW - timedelta(days=4)
DANGEROUS = ("=1+1", "+1", "-2+3", "@SUM(A1)", "\tcmd", "＝1", ' =cmd|"x"', 'a,"b"')
PAYER = {"email": "payer@example.com", "phone": "0000000001", "person": {"first_name": "Test", "last_name": "Payer"}}


def _vima(number: int, at: datetime) -> dict[str, Any]:
    status = ("success", "success", "success", "fail", "in_process")[number % 5]
    paid = {"complete_amount": _amount(number), "complete_currency": "INR"} if status == "success" else {}
    return {
        "operation_id": str(2**61 + number),
        "client_operation_id": f"ORD{number:05d}",
        "reference_id": f"ref{number}",
        "project": "91game" if number % 6 else "monetix",
        "contact": PAYER["email"],
        "user_id": f"u-{number}",
        "create_params": {
            "method": "payment.in" if number % 7 else "payment.out",
            "params": {"payment": {"payer": PAYER, "amount": {"value": 10000 + number, "currency": "INR"}}},
        },
        "current_status": status,
        "payment_status": status,
        "payment_method_code": "apm",
        "credentials_owner": DANGEROUS[number % len(DANGEROUS)] if number % 10 == 0 else "example",
        "card_finish": [{"charged_fee": "-0.50" if number % 11 == 0 else "1.25"}],
        "operation_created_at": _text(at),
        "operation_modified_at": _text(at + timedelta(seconds=40)),
        **paid,
    }


def _payshack(number: int, at: datetime) -> dict[str, Any]:
    status = ("Success", "Success", "Failed", "Failed", "Pending")[number % 5]
    amount = _amount(number + 1 if number % 13 == 0 else number)
    return {
        "txnId": f"T{number:05d}",
        "spTxnId": f"SP{number}",
        "orderId": f"ORD{number:05d}",
        "amount": amount,
        "paidAmount": amount if status == "Success" else None,
        "utr": f"{number:012d}",
        "rrn": f"{number + 500:012d}",
        "txnStatus": status,
        "clientName": "91G_TECH_PVT_LTD",
        "transactionType": "UPI_INTENT",
        "payerName": "Test Payer",
        "payerVpa": "payer1@upi",
        "totalCommissionAmount": "2.5",
        "createdAt": _text(at + timedelta(seconds=5)),
        "modifiedAt": _text(at + timedelta(seconds=45)),
    }


def _amount(number: int) -> str:
    return "123456789012345.67" if number == 21 else f"{100 + number}.{number % 100:02d}"


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fill_raw(url: str) -> None:
    """The raw log as loads leave it: versions, watermarks, runs and a cursor."""
    with connect(url, role=LOADER) as connection:
        for number in range(ORDERS):
            at = FIRST + timedelta(minutes=24 * number)
            if number % 17:
                operation = _vima(number, at)
                started = operation | {"current_status": "in_process", "payment_status": None}
                _insert(connection, "vima_operations", started, operation["operation_id"], number, at, "first")
                _insert(connection, "vima_operations", operation, operation["operation_id"], number, at, "second")
            if number % 19 and number % 6 and number % 7:
                payment = _payshack(number, at)
                _insert(connection, "payshack_payins", payment, payment["txnId"], number, at, "only")
        for source in ("vima", "payshack"):
            for flow in ("payin", "payout"):
                connection.execute(
                    "insert into raw.source_watermarks values (%s, %s, %s, %s)",
                    (source, flow, NOW - timedelta(seconds=60 if source == "vima" else 90), NOW),
                )
            connection.execute(
                "insert into raw.load_runs (source, mode, scope, status, started_at, finished_at, rows_read, rows_new)"
                " values (%s, 'feed', 'all', 'succeeded', %s, %s, 240, 240)",
                (source, NOW - timedelta(seconds=30), NOW - timedelta(seconds=20)),
            )
        connection.execute(
            "insert into raw.source_cursors values ('vima', 'vima_operations', '9007199254740993', %s, 'load')", (NOW,)
        )


def _insert(
    connection: psycopg.Connection,
    table: str,
    payload: dict[str, Any],
    record: str,
    number: int,
    at: datetime,
    seen: str,
) -> None:
    later = timedelta(seconds=40 if seen != "first" else 0)
    connection.execute(
        sql.SQL(
            "insert into raw.{} (record_id, content_hash, order_key, source_order, source_created_at,"
            " source_updated_at, payload, observed_at, load_mode, load_scope, load_page, _dlt_load_id)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, 'feed', 'all', 1, 'load')"
        ).format(sql.Identifier(table)),
        (
            record,
            f"{record}-{seen}",
            f"ORD{number:05d}",
            number * 2 + (seen != "first"),
            at,
            at + later,
            json.dumps(payload),
            at + later + timedelta(seconds=20),
        ),
    )


@pytest.fixture(scope="session")
def marts(
    server_url: str, prepared_template: str, parsed_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """URL of the warehouse with marts; tests leave its marts as they are."""
    url = urlunsplit(urlsplit(server_url)._replace(path="/sidecar_marts"))
    with connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database sidecar_marts template {}").format(sql.Identifier(prepared_template))
        )
    fill_raw(url)
    home = tmp_path_factory.mktemp("models")
    take_parsed_models(parsed_models, home)
    settings = load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": str(home), "PSP_NOW": NOW.isoformat()})
    run_models(settings, project=parsed_project(settings), depth="models")
    return url


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar: where it is, and keys by what they may."""

    url: str
    settings: Settings
    keys: dict[str, str]
    process: subprocess.Popen[str]

    def client(self, key: str = "all") -> httpx.Client:
        """A client with one of the keys; `key` is its name."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {self.keys[key]}"}, timeout=30
        )


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Return as soon as the condition holds; an announcement travels for some milliseconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


@contextmanager
def sidecar_process(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """`python -m pipelines.sidecar` as a person would start it; ended with the block if it still runs."""
    given = {name.upper(): getattr(settings, name) for name in settings.model_fields_set}
    environment = {
        **os.environ,
        **{
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in given.items()
        },
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.sidecar"],
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until_up(url: str, process: subprocess.Popen[str]) -> None:
    """Return when the sidecar answers, whatever it answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/api/v1/health", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise AssertionError(f"the sidecar did not start: {process.communicate()[0]}")


@pytest.fixture(scope="session")
def start_sidecar(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    """Starts a sidecar over a database, with keys in an own PSP_HOME, as a context manager."""

    @contextmanager
    def start(database: str, **changes: str) -> Iterator[Sidecar]:
        settings = load_settings(
            {
                "PSP_DATABASE_URL": database,
                "PSP_HOME": str(tmp_path_factory.mktemp("sidecar")),
                "PSP_NOW": NOW.isoformat(),
                **free_ports(SERVER_PORTS),
                **changes,
            }
        )
        keys = {scope: create_key(settings, name=scope, scopes=[scope]) for scope in SCOPES}
        keys["all"] = create_key(settings, name="all", scopes=SCOPES)
        keys["plain"] = create_key(settings, name="plain", scopes=["read", "export"])
        url = f"http://127.0.0.1:{settings.psp_sidecar_port}"
        with sidecar_process(settings) as process:
            wait_until_up(url, process)
            yield Sidecar(url=url, settings=settings, keys=keys, process=process)

    return start


@pytest.fixture(scope="session")
def sidecar(marts: str, start_sidecar: Callable[..., Any]) -> Iterator[Sidecar]:
    """One sidecar over the marts for the whole run."""
    with start_sidecar(marts) as running:
        yield running


@pytest.fixture
def api(sidecar: Sidecar) -> Iterator[httpx.Client]:
    """A client that may everything."""
    with sidecar.client() as client:
        yield client


@pytest.fixture
def database(marts: str) -> Iterator[psycopg.Connection]:
    """The database itself, to compare with."""
    with connect(marts, autocommit=True) as connection:
        yield connection
