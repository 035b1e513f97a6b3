"""Exports of 1 M rows beside a bare `psql COPY`, and what a cut connection costs: `python -m tests.bench.exports`.

    psql       copy (the same query) to stdout, nothing else in between: the baseline, in the same run
    csv        through the sidecar, over HTTP; at least half of psql's rows a second
    parquet    the same
    xlsx       the same; the memory of the sidecar stays under 300 MB
    cut        the client goes in mid-stream: how long the database is still busy for it

What arrived is added up and compared with the mart, to the last digit.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import httpx
import psutil

from pipelines.core.postgres import connect
from pipelines.core.postgres_process import binaries
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar.datasets import DATASETS, described
from tests.bench.big_marts import big_marts, running_marts
from tests.bench.sidecar_reads import fresh_key, running_sidecar

MIN_SHARE, MAX_MEGABYTES, MAX_BUSY_SECONDS = 0.5, 300, 1.0
TOTALS = "select count(*), sum(amount), sum(fee) from marts.fct_transactions"
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def main() -> int:
    """Print the figures; exit code 1 when one of them is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="of a server that tests.bench.big_marts has left running")
    parser.add_argument("--only", nargs="*", default=["csv", "parquet", "xlsx", "cut"])
    asked = parser.parse_args()
    verdicts: dict[str, bool] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="psp-exports-")))
        settings = running_marts(asked.home) if asked.home else stack.enter_context(big_marts(asked.transactions))
        settings, process = stack.enter_context(running_sidecar(settings))
        key = stack.enter_context(fresh_key(settings, "read", "export"))
        client = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{settings.psp_sidecar_port}/api/v1/export",
                headers={"Authorization": f"Bearer {key}"},
                timeout=None,  # noqa: S113 - a workbook is sent when it is whole
            )
        )
        with connect(database_url(settings)) as connection:
            expected = tuple(connection.execute(TOTALS).fetchone() or ())
        bare = _psql(settings, folder)
        _tell("psql", expected[0], bare, "")
        for fmt, read in (("csv", _csv_totals), ("parquet", _parquet_totals), ("xlsx", _xlsx_totals)):
            if fmt not in asked.only:
                continue
            path = folder / f"transactions.{fmt}"
            with peak_memory(process.pid) as megabytes:
                seconds = _download(client, fmt, path)
            _tell(
                fmt, expected[0], seconds, f", {path.stat().st_size / 1e6:.0f} MB, peak {megabytes[0]:.0f} MB of memory"
            )
            verdicts[f"{fmt}: totals are the mart's"] = read(path) == expected
            verdicts[f"{fmt}: memory under {MAX_MEGABYTES} MB"] = megabytes[0] < MAX_MEGABYTES
            if fmt == "csv":
                share = bare / seconds
                verdicts[f"csv: {share:.0%} of psql's pace, at least {MIN_SHARE:.0%}"] = share >= MIN_SHARE
            path.unlink()
        if "cut" in asked.only:
            busy = max(_cut(client, settings, fmt) for fmt in ("csv", "parquet"))
            verdicts[f"cut: the database is free after {1000 * busy:.0f} ms"] = busy < MAX_BUSY_SECONDS
    for text, holds in verdicts.items():
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {text}\n")
    return 0 if all(verdicts.values()) else 1


def _tell(what: str, rows: int, seconds: float, more: str) -> None:
    sys.stdout.write(f"{what:<8} {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s{more}\n")
    sys.stdout.flush()


def _psql(settings: Settings, folder: Path) -> float:
    """Seconds of the same query as the CSV export asks, by psql into a file."""
    dataset = DATASETS["transactions"]
    with connect(database_url(settings)) as connection:
        _, selected = described(connection, dataset)
        query = f"select {selected.as_string(connection)} from marts.fct_transactions"  # noqa: S608 - names of our own
        query += f" order by {dataset.ordering.as_string(connection)}"
    script = folder / "copy.sql"
    script.write_text(f"set max_parallel_workers_per_gather = 0;\ncopy ({query}) to stdout (format csv, header);\n")
    began = time.monotonic()
    with (folder / "psql.csv").open("wb") as output:
        subprocess.run(
            [str(binaries() / "psql"), database_url(settings), "-qX", "-f", str(script)], stdout=output, check=True
        )
    seconds = time.monotonic() - began
    (folder / "psql.csv").unlink()
    return seconds


def _download(client: httpx.Client, fmt: str, path: Path) -> float:
    began = time.monotonic()
    with client.stream("GET", "/transactions", params={"format": fmt}) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_raw():
            file.write(chunk)
    return time.monotonic() - began


def _csv_totals(path: Path) -> tuple[int, Decimal, Decimal]:
    rows, amount, fee = 0, Decimal(0), Decimal(0)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader)
        amount_at, fee_at = header.index("amount"), header.index("fee")
        for row in reader:
            rows += 1
            amount += Decimal(row[amount_at] or 0)
            fee += Decimal(row[fee_at] or 0)
    return rows, amount, fee


def _parquet_totals(path: Path) -> tuple[int, Decimal, Decimal]:
    query = f"select count(*), sum(amount), sum(fee) from read_parquet('{path}')"  # noqa: S608 - a path of our own
    ((rows, amount, fee),) = duckdb.sql(query).fetchall()
    return rows, Decimal(amount), Decimal(fee)


def _xlsx_totals(path: Path) -> tuple[int, Decimal, Decimal]:
    """Over all sheets but the cover; by the XML itself, since a library would take minutes."""
    rows, sums = 0, {"amount": Decimal(0), "fee": Decimal(0)}
    with zipfile.ZipFile(path) as book:
        sheets = sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet"))
        for sheet in sheets[1:]:
            columns: dict[str, str] = {}
            with book.open(sheet) as file:
                for _, element in ElementTree.iterparse(file):  # noqa: S314 - a file of our own
                    if element.tag != f"{SHEET}row":
                        continue
                    if columns:
                        rows += 1
                    for cell in element:
                        letters = (cell.get("r") or "").rstrip("0123456789")
                        text = "".join(cell.itertext())
                        if not columns or text in ("amount", "fee"):
                            columns[letters] = text
                        elif columns.get(letters) in sums:
                            sums[columns[letters]] += Decimal(text)
                    element.clear()
    return rows, sums["amount"], sums["fee"]


def _cut(client: httpx.Client, settings: Settings, fmt: str) -> float:
    """Seconds from the end of a connection in mid-stream to the end of its backend."""
    with client.stream("GET", "/transactions", params={"format": fmt}) as answer:
        received = 0
        for chunk in answer.iter_raw():
            received += len(chunk)
            if received > 1_000_000:
                break
    began = time.monotonic()
    with connect(database_url(settings), autocommit=True) as connection:
        while time.monotonic() - began < 30:
            at_work = connection.execute(
                "select count(*) from pg_stat_activity where application_name = 'psp-export' and state = 'active'"
            ).fetchone()
            if at_work == (0,):
                break
            time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def peak_memory(pid: int) -> Iterator[list[float]]:
    """The most that a process held while the block ran, in MB of resident memory."""
    found, done = [0.0], threading.Event()

    def look() -> None:
        process = psutil.Process(pid)
        while not done.wait(0.05):
            found[0] = max(found[0], process.memory_info().rss / 1e6)

    watcher = threading.Thread(target=look)
    watcher.start()
    yield found
    done.set()
    watcher.join()


if __name__ == "__main__":
    sys.exit(main())
