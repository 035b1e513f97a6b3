"""What tests/bench/ingestion.py compares, each run in a process of its own: `python -m tests.contenders NAME CURSOR`.

Prints one JSON line: rows, wall seconds, CPU seconds of this process and of PostgreSQL, peak memory of this process in
MB. What is needed before, like imports, a fresh database and a login, is done before the clock starts.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import psutil

from pipelines.core.postgres import connect, sqlalchemy_url
from pipelines.core.runtime import database_url, vima_access
from pipelines.core.settings import Settings, load_settings
from pipelines.loading.payshack import load_payshack_window
from pipelines.loading.report import LoadReport
from pipelines.loading.vima import load_vima_feed, load_vima_window
from pipelines.sources.common.transport import HttpTransport
from pipelines.sources.vima.client import VimaClient

DAY = date(2026, 1, 11)
WARM_UP_DAY = date(2025, 12, 20)
SMALL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run took. `megabytes` is the greatest memory that the process ever had."""

    rows: int
    seconds: float
    own_cpu: float
    database_cpu: float
    megabytes: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class Stopwatch:
    """Wall and CPU time between entering and leaving."""

    def __init__(self, url: str) -> None:
        with connect(url) as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None, "PostgreSQL runs on this machine"
        self._server = server

    def __enter__(self) -> "Stopwatch":
        self._cpu, self._database, self._began = time.process_time(), self._database_cpu(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = time.perf_counter() - self._began
        self._own = time.process_time() - self._cpu
        # Backends that have ended are counted once the server has noticed.
        time.sleep(0.2)
        self._database = self._database_cpu() - self._database

    def outcome(self, rows: int) -> Outcome:
        """What was measured, for so many rows."""
        return Outcome(
            rows=rows,
            seconds=self._seconds,
            own_cpu=self._own,
            database_cpu=self._database,
            megabytes=_peak_megabytes(),
        )

    def _database_cpu(self) -> float:
        own = self._server.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._server.children():
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return float(total)


def _peak_megabytes() -> float:
    """The greatest memory this process ever had. What getrusage tells on Linux includes what its parent had."""
    if sys.platform == "linux":
        return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


def vima_feed(settings: Settings, cursor: int) -> Outcome:
    """The feed, from `cursor` to its end."""
    _set_cursor(settings, cursor)
    return _load(settings, lambda: load_vima_feed(settings))


def vima_window(settings: Settings, _: int) -> Outcome:
    """One created day."""
    return _load(settings, lambda: load_vima_window(settings, DAY))


def payshack_window(settings: Settings, _: int) -> Outcome:
    """Pay-ins and pay-outs of one created day."""
    return _load(settings, lambda: load_payshack_window(settings, DAY))


def new_rows(settings: Settings, cursor: int) -> Outcome:
    """A feed run that finds SMALL new operations, after one that has found all the others."""
    _set_cursor(settings, cursor)
    load_vima_feed(settings)
    with connect(database_url(settings)) as connection:
        # Forgotten again, as if they had not been there yet.
        connection.execute(
            "delete from raw.vima_operations where source_order in"
            " (select source_order from raw.vima_operations order by source_order desc limit %s)",
            (SMALL,),
        )
        connection.execute(
            "update raw.source_cursors set cursor_value = (select max(source_order)::text from raw.vima_operations)"
        )
    return _load(settings, lambda: load_vima_feed(settings))


def bare_copy(settings: Settings, cursor: int) -> Outcome:
    """The payloads, COPYed by psycopg into one jsonb column without an index, in one transaction."""
    payloads, url = _payloads(settings, cursor), database_url(settings)
    with Stopwatch(url) as watch, connect(url) as connection:
        connection.execute("create table public.bare (payload jsonb)")
        with connection.cursor().copy("copy public.bare (payload) from stdin") as copy:
            for payload in payloads:
                copy.write_row((payload.decode(),))
    return watch.outcome(len(payloads))


def dlt_dicts(settings: Settings, cursor: int) -> Outcome:
    """The payloads as dicts through dlt's own PostgreSQL destination, as its documentation begins."""
    import dlt

    payloads, url = _payloads(settings, cursor), database_url(settings)
    pipeline = dlt.pipeline(
        pipeline_name="plain",
        pipelines_dir=str(settings.psp_home / "plain"),
        destination=dlt.destinations.postgres(credentials=url),
        dataset_name="plain",
    )
    with Stopwatch(url) as watch:
        pipeline.run((json.loads(payload) for payload in payloads), table_name="operations")
    return watch.outcome(len(payloads))


def row_by_row(settings: Settings, cursor: int) -> Outcome:
    """One upsert per operation with SQLAlchemy, committed once a page."""
    import sqlalchemy as sa
    from sqlalchemy.dialects.postgresql import JSONB, insert

    payloads, url = _payloads(settings, cursor), database_url(settings)
    engine = sa.create_engine(sqlalchemy_url(url))
    operations = sa.Table(
        "operations", sa.MetaData(), sa.Column("operation_id", sa.Text, primary_key=True), sa.Column("payload", JSONB)
    )
    with Stopwatch(url) as watch:
        operations.create(engine)
        for begin in range(0, len(payloads), 100):
            with engine.begin() as connection:
                for payload in payloads[begin : begin + 100]:
                    record = json.loads(payload)
                    statement = insert(operations).values(operation_id=record.get("operation_id", ""), payload=record)
                    connection.execute(
                        statement.on_conflict_do_update(
                            index_elements=["operation_id"], set_={"payload": statement.excluded.payload}
                        )
                    )
    return watch.outcome(len(payloads))


CONTENDERS: dict[str, Callable[[Settings, int], Outcome]] = {
    "Vima feed": vima_feed,
    "Vima window": vima_window,
    "PayShack window": payshack_window,
    "100 new rows": new_rows,
    "bare COPY": bare_copy,
    "dlt dicts": dlt_dicts,
    "SQLAlchemy": row_by_row,
}


def _load(settings: Settings, load: Callable[[], LoadReport]) -> Outcome:
    with Stopwatch(database_url(settings)) as watch:
        report = load()
    return watch.outcome(report.rows_new + report.rows_quarantined)


def _set_cursor(settings: Settings, cursor: int) -> None:
    with connect(database_url(settings)) as connection:
        connection.execute(
            "insert into raw.source_cursors values ('vima', 'vima_operations', %s, now(), 'bench')", (str(cursor),)
        )


def _payloads(settings: Settings, cursor: int) -> list[bytes]:
    """What the feed reads from `cursor` on, as it was delivered."""
    access = vima_access(settings)
    found: list[bytes] = []
    with HttpTransport(source="Vima") as transport:
        client = VimaClient(access, transport)
        while page := client.page(from_operation_update_id=str(cursor)):
            found += map(bytes, page)
            cursor = max(int(json.loads(record)["operation_update_id"]) for record in found[-len(page) :])
    return found


def _warm_up(settings: Settings) -> None:
    """One small load, forgotten again: what is imported and prepared once is there afterwards."""
    load_vima_window(settings, WARM_UP_DAY)
    with connect(database_url(settings)) as connection:
        connection.execute("truncate raw.vima_operations, raw.quarantine")


def main() -> None:
    """Run one contender over the environment's settings, whose database is fresh."""
    name, cursor = sys.argv[1], int(sys.argv[2])
    settings = load_settings()
    _warm_up(settings)
    outcome = CONTENDERS[name](settings, cursor)
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
