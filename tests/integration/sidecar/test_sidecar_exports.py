"""Exports hold exactly the rows of the mart, harm no spreadsheet, are written down, and let go of the database."""

import csv
import hashlib
import io
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.core.errors import DatabaseError, SettingsError
from pipelines.core.postgres import connect
from pipelines.core.settings import Settings, load_settings
from pipelines.sidecar.datasets import DATASETS, What
from pipelines.sidecar.export import cover_path, export_rows
from pipelines.sidecar.routes.export import MAX_EXPORTS

GUARDED = ("=", "+", "-", "@", "\t", "＝")


@pytest.fixture
def settings(sidecar: Any) -> Settings:
    """The settings of the sidecar: the CLI exports from the same warehouse."""
    found: Settings = sidecar.settings
    return found


def mart_rows(database: psycopg.Connection, what: What, condition: str = "true") -> list[dict[str, Any]]:
    dataset = DATASETS[what]
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in dataset.row.model_fields)
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            sql.SQL("select {} from {} where {} order by {}").format(
                columns, dataset.relation, sql.SQL(condition), dataset.ordering
            )
        ).fetchall()


def as_text(value: Any) -> str:
    """A value as the file must show it; amounts by their exact value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "") + "Z"
    if isinstance(value, list):
        return "; ".join(value)
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"'{text}" if isinstance(value, str) and text.strip(" ").startswith(GUARDED) else text


@pytest.mark.parametrize("what", ["transactions", "reconciliation", "metrics"])
def test_a_csv_is_the_mart(api: httpx.Client, database: psycopg.Connection, what: What) -> None:
    response = api.get(f"/export/{what}")

    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    expected = [{name: as_text(value) for name, value in row.items()} for row in mart_rows(database, what)]
    assert rows == expected
    assert int(response.headers["X-Row-Count"]) == len(rows) > 0
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{what}_20260120T115830Z.csv"'


def test_an_xlsx_is_the_mart(api: httpx.Client, database: psycopg.Connection) -> None:
    response = api.get("/export/transactions", params={"format": "xlsx"})

    book = openpyxl.load_workbook(io.BytesIO(response.content), read_only=True)
    header, *found = book["transactions"].iter_rows(values_only=True)
    expected = mart_rows(database, "transactions")
    assert list(header) == list(expected[0])
    assert len(found) == len(expected)
    for cells, row in zip(found, expected, strict=True):
        for cell, (name, value) in zip(cells, row.items(), strict=True):
            if isinstance(value, Decimal):
                # 15 digits are what Excel keeps; more are text.
                assert Decimal(str(cell)) == value, name
            elif isinstance(value, datetime):
                assert abs(cell.replace(tzinfo=UTC) - value) < timedelta(milliseconds=1), name
            elif isinstance(value, bool) or value is None:
                assert cell == value, name
            elif isinstance(value, str):
                assert cell == as_text(value), name
            else:
                assert cell.date() == value, name
    total = sum(Decimal(str(cells[8])) for cells in found if cells[8] is not None)
    assert total == sum(row["amount"] for row in expected if row["amount"] is not None)


@pytest.mark.parametrize("fmt", ["csv", "xlsx"])
def test_what_a_spreadsheet_takes_for_a_formula_is_disarmed(
    settings: Settings, database: psycopg.Connection, tmp_path: Path, fmt: Any
) -> None:
    target = tmp_path / f"out.{fmt}"
    export_rows(settings, "transactions", {}, fmt, target)
    if fmt == "csv":
        rows = list(csv.reader(io.StringIO(target.read_text(encoding="utf-8"), newline="")))
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(target.read_bytes()), read_only=True)["transactions"]
        rows = [[str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]

    merchant, fee = rows[0].index("merchant"), rows[0].index("fee")
    written = {row[merchant] for row in rows[1:]}
    assert {"'=1+1", "'-2+3", "'\tcmd", '\' =cmd|"x"'} & written == {"'=1+1", "'-2+3", "'\tcmd", '\' =cmd|"x"'} & {
        as_text(row["merchant"]) for row in mart_rows(database, "transactions")
    }
    assert not [text for text in written if text.strip(" ").startswith(GUARDED)]
    # A negative number is a number.
    assert "-0.5" in {row[fee] for row in rows[1:]}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\ta", "'\ta"),
        ("\ra", "'\ra"),
        ("\na", "'\na"),
        ("  =1", "'  =1"),
        ("\x01a", "'\x01a"),
        ("\x7fa", "'\x7fa"),
        ("＝1", "'＝1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠a", "'＠a"),
        ("", ""),
        (" a", " a"),
        ("a=1", "a=1"),
        ("1-1", "1-1"),
        ("é", "é"),
        ("रु", "रु"),
        ("'=1", "'=1"),
        ("[a", "[a"),
        ("`a", "`a"),
        ("_a", "_a"),
        (":a", ":a"),
        ("{a", "{a"),
    ],
)
def test_the_guard_sees_every_form_of_a_formula(database: psycopg.Connection, text: str, written: str) -> None:
    from pipelines.sidecar.datasets import _disarmed

    row = database.execute(sql.SQL("select {}").format(_disarmed(sql.Literal(text)))).fetchone()

    assert row == (written,)


@pytest.mark.parametrize(
    ("what", "parameters", "condition"),
    [
        (
            "transactions",
            {"source": "vima", "status": ["failed", "pending"]},
            "source = 'vima' and status <> 'success'",
        ),
        ("transactions", {"search": "ORD00012"}, "order_key = 'ORD00012'"),
        ("transactions", {"from_date": "2026-01-18", "to_date": "2026-01-18"}, "business_date = '2026-01-18'"),
        ("reconciliation", {"type": "matched"}, "outcome = 'matched'"),
        ("reconciliation", {"comparability": "informational"}, "comparability = 'informational'"),
        ("metrics", {"project": "monetix"}, "project = 'monetix'"),
        ("transactions", {"project": "none"}, "false"),
    ],
)
def test_filters_are_those_of_the_lists(
    api: httpx.Client, database: psycopg.Connection, what: What, parameters: dict[str, Any], condition: str
) -> None:
    response = api.get(f"/export/{what}", params=parameters)

    rows = list(csv.reader(io.StringIO(response.text, newline="")))
    assert len(rows) - 1 == int(response.headers["X-Row-Count"]) == len(mart_rows(database, what, condition))
    assert rows[0] == list(DATASETS[what].row.model_fields)


@pytest.mark.parametrize("parameters", [{"format": "pdf"}, {"limit": 3}, {"status": "won"}, {"from_date": "soon"}])
def test_a_wrong_question_is_refused_before_a_byte_is_sent(api: httpx.Client, parameters: dict[str, Any]) -> None:
    assert api.get("/export/transactions", params=parameters).status_code == 400


def test_an_export_is_written_down_with_its_cover_note(sidecar: Any, database: psycopg.Connection) -> None:
    with sidecar.client("plain") as client:
        response = client.get("/export/transactions", params={"source": "vima", "from_date": "2026-01-18"})
        export_id = response.headers["X-Export-Id"]
        note = client.get(response.headers["Link"].split(">")[0].removeprefix("</api/v1")).json()["data"]

    assert note == {
        "export_id": export_id,
        "exported_by": "plain",
        "dataset": "transactions",
        "format": "csv",
        "filters": {"source": ["vima"], "from_date": "2026-01-18"},
        "clock": "2026-01-20T12:00:00Z",
        "started_at": note["started_at"],
        "finished_at": note["finished_at"],
        "outcome": "completed",
        "export_as_of": "2026-01-20T11:58:30Z",
        "row_count": int(response.headers["X-Row-Count"]),
        "content_sha256": hashlib.sha256(response.content).hexdigest(),
    }
    row = database.execute("select actor, bytes_sent from ops.exports where export_id = %s", (export_id,)).fetchone()
    assert row == ("plain", len(response.content))


def test_the_same_rows_have_the_same_hash_in_every_format(settings: Settings, tmp_path: Path) -> None:
    as_csv = export_rows(settings, "reconciliation", {}, "csv", tmp_path / "a.csv")
    as_xlsx = export_rows(settings, "reconciliation", {}, "xlsx", tmp_path / "a.xlsx")

    assert as_csv.content_sha256 == as_xlsx.content_sha256
    assert as_csv.content_sha256 == hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    cover = openpyxl.load_workbook(tmp_path / "a.xlsx")["cover"]
    values = {row[0].value: row[1].value for row in cover.iter_rows()}
    assert values["Rows"] == str(as_xlsx.rows)
    assert values["Content SHA-256"].startswith(as_xlsx.content_sha256)
    assert values["As of"].startswith("2026-01-20T11:58:30Z")


@pytest.mark.parametrize("what", ["transactions", "reconciliation", "metrics"])
def test_a_parquet_file_is_the_mart(api: httpx.Client, database: psycopg.Connection, what: What) -> None:
    response = api.get(f"/export/{what}", params={"format": "parquet"})

    table = pq.read_table(io.BytesIO(response.content))
    expected = mart_rows(database, what)
    assert response.headers["X-Row-Count"] == str(len(expected)) == str(table.num_rows)
    # As they are: what a spreadsheet would run is no danger here, numbers are exact, lists are lists.
    assert table.to_pylist() == expected
    metadata = pq.ParquetFile(io.BytesIO(response.content)).metadata.metadata
    assert metadata[b"Rows"] == str(len(expected)).encode()
    cover = api.get(f"/export/{response.headers['X-Export-Id']}/cover").json()["data"]
    assert cover["content_sha256"] == hashlib.sha256(response.content).hexdigest()


def test_an_unknown_export_has_no_cover_note(api: httpx.Client) -> None:
    assert api.get("/export/00000000-0000-0000-0000-000000000000/cover").status_code == 404
    assert api.get("/export/anything/cover").status_code == 400


def test_a_file_is_whole_or_not_there(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    heard: list[tuple[int, int]] = []

    report = export_rows(
        settings, "transactions", {"source": ["vima"]}, "csv", target, progress=lambda *at: heard.append(at)
    )

    assert heard[-1] == (report.rows, report.rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.csv.cover.txt"]
    assert f"Content SHA-256: {report.content_sha256}" in cover_path(target).read_text()
    assert "Filters: source = ['vima']" in cover_path(target).read_text()
    with pytest.raises(SettingsError, match="cannot be written"):
        export_rows(settings, "transactions", {}, "csv", tmp_path / "no" / "folder.csv")


def test_an_export_can_go_into_any_stream(settings: Settings) -> None:
    stream = io.BytesIO()

    report = export_rows(settings, "metrics", {}, "csv", stream, actor="tests")

    assert len(stream.getvalue()) == report.bytes
    assert ("Exported by", "tests") in report.cover


def test_a_wrong_filter_at_the_command_line_names_the_right_ones(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"form_date: .* Fix: filters of metrics are from_date, to_date, source"):
        export_rows(settings, "metrics", {"form_date": "2026-01-01"}, "csv", tmp_path / "out.csv")


def test_without_marts_an_export_says_what_to_do(settings_of: Callable[[str], Settings], warehouse: str) -> None:
    with pytest.raises(DatabaseError, match=r"marts are not there yet. Fix: run `psp up`"):
        export_rows(settings_of(warehouse), "transactions", {}, "csv", io.BytesIO())


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[[str], Settings]:
    return lambda url: load_settings({"PSP_DATABASE_URL": url, "PSP_HOME": str(tmp_path)})


# Long exports.


@pytest.fixture(scope="module")
def long_marts(marts: str) -> Iterator[str]:
    """The same warehouse with 100,000 transactions: more than socket buffers hold."""
    base, _, name = marts.rpartition("/")
    with connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
            (name,),
        )
        for _ in range(50):
            try:
                connection.execute(sql.SQL("create database sidecar_long template {}").format(sql.Identifier(name)))
                break
            except psycopg.errors.ObjectInUse:
                # The shared sidecar comes back by itself, and sometimes at once.
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        else:
            raise AssertionError("the marts could not be copied")
    url = f"{base}/sidecar_long"
    with connect(url) as connection:
        columns = [
            column.name
            for column in connection.execute("select * from marts.fct_transactions limit 0").description or []
        ]
        changed = {"transaction_id", "source_txn_id", "order_key"}
        connection.execute(
            sql.SQL(
                "insert into marts.fct_transactions ({}) select {}"
                " from marts.fct_transactions, generate_series(1, 260) n"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(
                    sql.SQL("{} || '-' || n").format(sql.Identifier(name)) if name in changed else sql.Identifier(name)
                    for name in columns
                ),
            )
        )
    yield url
    with connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute("drop database sidecar_long with (force)")


@pytest.fixture(scope="module")
def long_sidecar(long_marts: str, start_sidecar: Callable[..., Any]) -> Iterator[Any]:
    with start_sidecar(long_marts) as running:
        yield running


@contextmanager
def half_read(running: Any, path: str = "/api/v1/export/transactions") -> Iterator[socket.socket]:
    """A client that has read the beginning of an export and no more."""
    address = ("127.0.0.1", running.settings.psp_sidecar_port)
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.keys['all']}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(2000).startswith(b"HTTP/1.1 200")
        yield connection


def exports_at_work(url: str) -> int:
    with connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'psp-export'"
            " and backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def last_export(url: str) -> tuple[Any, ...]:
    with connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select outcome, content_sha256 from ops.exports order by started_at desc limit 1"
        ).fetchone()
    assert row is not None
    return row


def within(seconds: float, condition: Callable[[], bool]) -> float:
    """Seconds until the condition came true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize("fmt", ["csv", "xlsx"])
def test_a_client_that_leaves_frees_the_database_at_once(long_sidecar: Any, long_marts: str, fmt: str) -> None:
    with half_read(long_sidecar, f"/api/v1/export/transactions?format={fmt}"):
        within(5, lambda: exports_at_work(long_marts) == 1)

    within(2, lambda: exports_at_work(long_marts) == 0)
    # Written down by a connection of its own, a moment later.
    within(2, lambda: last_export(long_marts)[0] != "running")
    assert last_export(long_marts) == ("cancelled", None)


def test_the_database_is_read_no_faster_than_the_client_reads(long_sidecar: Any, long_marts: str) -> None:
    with half_read(long_sidecar), connect(long_marts, autocommit=True) as connection:

        def waits() -> bool:
            waiting = "select wait_event from pg_stat_activity where application_name = 'psp-export'"
            return connection.execute(waiting).fetchone() == ("ClientWrite",)

        within(20, waits)
        time.sleep(1)
        assert waits()
    within(2, lambda: exports_at_work(long_marts) == 0)


def test_more_exports_than_there_are_places_are_told_to_come_back(long_sidecar: Any, long_marts: str) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_EXPORTS):
            stack.enter_context(half_read(long_sidecar))
        client = stack.enter_context(long_sidecar.client())
        refused = client.get("/export/metrics")
        # Reading goes on beside them.
        assert client.get("/transactions").status_code == 200
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    within(5, lambda: exports_at_work(long_marts) == 0)
    with long_sidecar.client() as client:
        assert client.get("/export/metrics").status_code == 200


def test_an_export_that_breaks_in_the_middle_is_seen_to_be_broken(long_sidecar: Any, long_marts: str) -> None:
    with long_sidecar.client() as client, client.stream("GET", "/export/transactions") as response:
        pieces = response.iter_raw()
        next(pieces)
        with connect(long_marts, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'psp-export'"
            )
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass
    within(2, lambda: last_export(long_marts)[0] != "running")
    assert last_export(long_marts) == ("failed", None)


def test_the_list_stays_quick_while_exports_run(long_sidecar: Any) -> None:
    def export() -> int:
        with long_sidecar.client() as client:
            return len(client.get("/export/transactions").content)

    with ThreadPoolExecutor(2) as threads, long_sidecar.client() as client:
        running = [threads.submit(export) for _ in range(2)]
        slowest = 0.0
        while not all(item.done() for item in running):
            began = time.monotonic()
            assert client.get("/reconciliation/summary").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)  # a kept answer comes in a millisecond: without a pause the limit per key is reached
    assert running[0].result() == running[1].result() > 20_000_000
    assert slowest < 2
