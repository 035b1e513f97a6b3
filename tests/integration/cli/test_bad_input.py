"""What goes wrong ends in one clear message that says what to do, with exit code 1 and nothing half done."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pipelines.core.postgres import connect
from tests.integration.cli.conftest import addresses_of, assert_nothing_left, run_psp
from tests.sandbox import SERVER_PORTS, free_port, free_ports, sandbox_providers

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there


def assert_nothing_half_done(url: str, source: str) -> None:
    """No row, no cursor, no watermark and no open load of the source; no marts of data that never came."""
    with connect(url) as connection:
        tables = ("vima_operations",) if source == "vima" else ("payshack_payins", "payshack_payouts")
        for table in tables:
            count = sql.SQL("select count(*) from raw.{}").format(sql.Identifier(table))
            assert connection.execute(count).fetchone() == (0,)
        for table in ("source_cursors", "source_watermarks"):
            count = sql.SQL("select count(*) from raw.{} where source = %s").format(sql.Identifier(table))
            assert connection.execute(count, (source,)).fetchone() == (0,)
        running = connection.execute("select count(*) from raw.load_runs where status = 'running'").fetchone()
        assert running == (0,)
        assert connection.execute("select to_regclass('marts.fct_transactions')").fetchone() == (None,)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_wrong_api_key(outside: dict[str, str], warehouse: str) -> None:
    answer = run_psp("sync", "vima", environment=outside | {"VIMA_API_KEY": "invented-wrong-key"})
    answer.assert_one_error("Vima refused the credentials", "check the Vima credentials")
    assert "invented-wrong-key" not in answer.err + answer.out
    assert_nothing_half_done(warehouse, "vima")


def test_wrong_portal_password_is_tried_once(outside: dict[str, str], warehouse: str, home: Path) -> None:
    wrong = outside | {"PAYSHACK_PASSWORD": "invented-wrong-password"}
    answer = run_psp("sync", "payshack", "--from", "2026-01-10", "--to", "2026-01-14", environment=wrong)
    answer.assert_one_error("refused the login", "PAYSHACK_PASSWORD")
    assert "invented-wrong-password" not in answer.err + answer.out
    # Five days were asked for; the account must not be locked by five logins.
    assert '"refusals": 1' in (home / "payshack" / "breaker.json").read_text()
    assert_nothing_half_done(warehouse, "payshack")


def test_portal_down(outside: dict[str, str], warehouse: str) -> None:
    answer = run_psp("sync", "payshack", environment=outside | {"PAYSHACK_PORTAL_URL": NOBODY})
    answer.assert_one_error("portal does not open", "PAYSHACK_PORTAL_URL")
    assert_nothing_half_done(warehouse, "payshack")


def test_unreadable_ciphertext(outside: dict[str, str], warehouse: str, tmp_path: Path) -> None:
    with sandbox_providers(tmp_path / "sealed", orders=50, payshack=("--envelope", "passphrase")) as providers:
        wrong = addresses_of(providers) | {"PAYSHACK_RESPONSE_SECRET": "invented-wrong-secret"}
        answer = run_psp("sync", "payshack", environment=outside | wrong)
    answer.assert_one_error("PAYSHACK_RESPONSE_SECRET")
    assert "invented-wrong-secret" not in answer.err + answer.out
    assert_nothing_half_done(warehouse, "payshack")


def test_up_ends_with_what_the_first_load_has_met(outside: dict[str, str], home: Path) -> None:
    ports = free_ports(SERVER_PORTS)
    answer = run_psp("up", environment=outside | ports | {"PAYSHACK_PASSWORD": "invented-wrong-password"})
    answer.assert_one_error("refused the login")
    assert "Ready" not in answer.err
    assert "invented-wrong" not in answer.err + answer.out
    assert_nothing_left(home, seconds=0)


def test_one_failing_source_does_not_stop_the_other(outside: dict[str, str], warehouse: str) -> None:
    answer = run_psp("sync", "all", environment=outside | {"PAYSHACK_PORTAL_URL": NOBODY})
    answer.assert_one_error("portal does not open")
    with connect(warehouse) as connection:
        assert connection.execute("select count(*) > 0 from marts.fct_transactions").fetchone() == (True,)


def test_database_down(outside: dict[str, str]) -> None:
    url = f"postgresql://somebody:invented-password@127.0.0.1:{free_port()}/psp"
    for command in (("sync", "vima"), ("reconcile",), ("up",)):
        answer = run_psp(*command, environment=outside | {"PSP_DATABASE_URL": url})
        answer.assert_one_error("PostgreSQL is not reachable", "PSP_DATABASE_URL")
        assert "invented-password" not in answer.err


def test_chromium_absent(outside: dict[str, str], warehouse: str) -> None:
    absent = outside | {"PSP_CHROMIUM": "/nonexistent/chromium"}
    for command in (("sync", "payshack"), ("up",), ("payshack", "login")):
        run_psp(*command, environment=absent).assert_one_error("PSP_CHROMIUM", "set it to the path")
    assert_nothing_half_done(warehouse, "payshack")


@pytest.mark.parametrize("setting", ["PSP_DAGSTER_PORT", "PSP_SIDECAR_PORT", "PSP_SANDBOX_VIMA_PORT"])
def test_port_taken_is_told_before_anything_starts(
    platform: dict[str, str], home: Path, taken_port: int, setting: str
) -> None:
    answer = run_psp("up", environment=platform | {setting: str(taken_port)})
    answer.assert_one_error(str(taken_port), setting)
    assert not (home / "postgres").exists()
    assert not (home / "sandbox.json").exists()


def test_port_taken_for_a_single_pass(platform: dict[str, str], taken_port: int) -> None:
    answer = run_psp("sync", "vima", environment=platform | {"PSP_SANDBOX_VIMA_PORT": str(taken_port)})
    answer.assert_one_error(str(taken_port), "PSP_SANDBOX_VIMA_PORT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PSP_BUSINESS_TIMEZONE", "Mars/Olympus"),
        ("PSP_DAGSTER_PORT", "99999"),
        ("VIMA_POLL_SECONDS", "often"),
        ("PSP_NOW", "2026-01-15T10:00:00"),
        ("PSP_DATABASE_URL", "mysql://somewhere"),
        ("VIMA_BASE_URL", "https://vima.example"),
    ],
)
def test_wrong_settings(home: Path, name: str, value: str) -> None:
    answer = run_psp("up", environment={"PSP_HOME": str(home), name: value})
    answer.assert_one_error(name)
    assert not home.exists()


def test_home_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    answer = run_psp("up", environment={"PSP_HOME": str(file / "home")})
    answer.assert_one_error("PSP_HOME", "cannot be written")


def test_reading_what_is_not_there(home: Path, warehouse: str) -> None:
    environment = {"PSP_HOME": str(home), "PSP_DATABASE_URL": warehouse}
    run_psp("reconcile", environment=environment).assert_one_error("no marts yet", "psp sync all")
    target = home.parent / "out.csv"
    run_psp("export", "transactions", "--out", str(target), environment=environment).assert_one_error("psp ")
    assert not target.exists()


def test_wrong_use_ends_with_2(home: Path) -> None:
    environment = {"PSP_HOME": str(home)}
    for arguments in (
        ("sync", "stripe"),
        ("sync", "all", "--from", "2026-01-10"),
        ("sync", "all", "--from", "2026-01-10", "--to", "2026-01-01"),
        ("reconcile", "--from", "yesterday", "--to", "2026-01-01"),
        ("export", "transactions"),
        ("nothing",),
    ):
        answer = run_psp(*arguments, environment=environment)
        assert answer.code == 2, answer.err
        assert "Traceback" not in answer.err
    assert not home.exists()
