"""p50 and p95 of each read of the sidecar at 1 M transactions and 20 clients: `python -m tests.bench.sidecar_reads`.

    first    every question is another one, so each is asked of the database
    kept     the same questions again: answers are kept until the marts change, clients hold them already (304)

All reads are mixed, as dashboards mix them; each client asks without a pause. Targets: 100 ms for metrics and
reconciliation, 200 ms for lists and search. The baseline in the same run is the plainest request there is (health).
"""

import argparse
import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar.keys import create_key, revoke_key
from tests.bench.big_marts import NOW, big_marts, running_marts
from tests.bench.load import Asked, clients, percentile
from tests.integration.sidecar.conftest import sidecar_process, wait_until_up
from tests.sandbox import free_port

CLIENTS, ROUNDS = 20, 8
SLOWER = ("transactions", "search", "detail", "deep page", "sorted page")
"""What may take 200 ms; all others 100 ms."""
LIMITS = defaultdict(lambda: 0.1, dict.fromkeys(SLOWER, 0.2))


def main() -> int:
    """Print the table; exit code 1 when a target is missed or an answer is not 200."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="of a server that tests.bench.big_marts has left running")
    asked = parser.parse_args()
    with ExitStack() as stack:
        settings = running_marts(asked.home) if asked.home else stack.enter_context(big_marts(asked.transactions))
        settings, process = stack.enter_context(running_sidecar(settings))
        return measure(settings, process)


@contextmanager
def running_sidecar(settings: Settings) -> Iterator[tuple[Settings, "subprocess.Popen[str]"]]:
    """A sidecar process over the marts, on a free port."""
    ports = {"psp_sidecar_port": free_port(), "psp_dagster_port": free_port()}
    settings = Settings.model_validate({**settings.model_dump(exclude_unset=True), **ports})
    with sidecar_process(settings) as process:
        wait_until_up(f"http://127.0.0.1:{settings.psp_sidecar_port}", process)
        yield settings, process


@contextmanager
def fresh_key(settings: Settings, *scopes: str) -> Iterator[str]:
    """A key for the length of a measurement."""
    name = f"bench-{os.getpid()}-{random.randrange(10**9)}"  # noqa: S311 - a name, no secret
    yield create_key(settings, name=name, scopes=list(scopes))  # type: ignore[arg-type]
    revoke_key(settings, name)


def measure(settings: Settings, process: "subprocess.Popen[str]") -> int:
    """Ask, and judge."""
    port = settings.psp_sidecar_port
    server = psutil.Process(process.pid)
    with ExitStack() as stack:
        # A key may ask 200 times a second; twenty clients are several people.
        keys = [stack.enter_context(fresh_key(settings, "read")) for _ in range(CLIENTS)]
        questions = _questions(settings)
        plans = [list(itertools.islice(questions, ROUNDS * len(QUESTIONS))) for _ in range(CLIENTS)]
        health = _ask(port, keys, [[("health", "/api/v1/health")] * ROUNDS * 4 for _ in range(CLIENTS)])
        used = server.cpu_times()
        first = _ask(port, keys, plans)
        spent = server.cpu_times()
        kept = _ask(port, keys, plans)
        cpu = (spent.user + spent.system - used.user - used.system) / len(first)
    sys.stdout.write(
        f"{CLIENTS} clients, {len(first):,} requests; the sidecar spends {1000 * cpu:.2f} ms of CPU on one\n"
    )
    sys.stdout.write(f"{'read':<16}{'first p50':>10}{'p95':>8}{'kept p50':>10}{'p95':>8}   ms\n")
    failed = False
    for name in ("health", *QUESTIONS):
        columns = []
        for answers in (first, kept) if name != "health" else (health,):
            seconds = [answer.seconds for answer in answers if answer.name == name]
            columns += [1000 * percentile(seconds, 0.5), 1000 * percentile(seconds, 0.95)]
        verdict = ""
        if name != "health":
            missed = columns[1] > 1000 * LIMITS[name]
            failed |= missed
            verdict = f"   {'MISSED' if missed else 'ok'} (at most {1000 * LIMITS[name]:.0f})"
        sys.stdout.write(f"{name:<16}" + "".join(f"{value:>9.1f} " for value in columns) + verdict + "\n")
    wrong = [answer for answer in first + kept if answer.status != 200]
    for answer in wrong[:5]:
        sys.stdout.write(f"FAIL {answer.name}: {answer.status}\n")
    return 1 if failed or wrong else 0


def _ask(port: int, keys: list[str], plans: list[list[tuple[str, str]]]) -> list[Asked]:
    async def all_at_once() -> list[Asked]:
        found = await asyncio.gather(*(clients(port, key, [plan]) for key, plan in zip(keys, plans, strict=True)))
        return [answer for answers in found for answer in answers]

    return asyncio.run(all_at_once())


QUESTIONS: dict[str, str] = {
    "overview": "/metrics/overview?{span}&project={project}",
    "overview, all": "/metrics/overview?{span}",
    "by-project": "/metrics/by-project?{span}&source=vima",
    "by-source": "/metrics/by-source?{span}&project={project}",
    "trends, days": "/metrics/trends?{span}&granularity=day",
    "trends, hours": "/metrics/trends?{week}&granularity=hour&project={project}",
    "trends, 5 min": "/metrics/trends?{day}&granularity=5min&project={project}",
    "heatmap": "/metrics/heatmap?{week}&metric=success_rate&project={project}",
    "comparison": "/metrics/comparison?{span}&flow=payin",
    "failures": "/metrics/failures?{day}&project={project}",
    "latency": "/metrics/latency?{span}&project={project}",
    "recent": "/metrics/recent?minutes={minutes}",
    "summary": "/reconciliation/summary?{span}&project={project}",
    "discrepancies": "/reconciliation/discrepancies?{week}&project={project}&page={page}",
    "sync status": "/sync/status",
    "transactions": "/transactions?{week}&project={project}&status=failed&page={page}",
    "search": "/transactions?search={order}",
    "detail": "/transactions/{transaction}",
    "deep page": "/transactions?page={deep}&limit=100",
    "sorted page": "/transactions?{day}&project={project}&sort_by=amount",
}


def _questions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Names and paths, round after round, never the same path twice where there is anything to vary."""
    chance = random.Random(7)  # noqa: S311 - a measurement that can be repeated
    with connect(database_url(settings)) as connection:
        rows = connection.execute(
            "select transaction_id, order_key from marts.fct_transactions"
            " where order_key is not null and hashtext(transaction_id) % 50 = 0 limit 5000"
        ).fetchall()
        projects = [
            row[0] for row in connection.execute("select distinct project from marts.rpt_metrics_daily").fetchall()
        ]
    last = NOW.date()
    for number in itertools.count():
        transaction, order = rows[number % len(rows)]
        end = last - timedelta(days=chance.randrange(60))
        values = {
            "span": f"from_date={end - timedelta(days=chance.randrange(1, 30))}&to_date={end}",
            "week": f"from_date={end - timedelta(days=6)}&to_date={end}",
            "day": f"from_date={end}&to_date={end}",
            "project": chance.choice(projects),
            "minutes": 5 + number % 1400,
            "page": 1 + number % 9,
            "deep": 1 + number * 37 % 9000,
            "order": order,
            "transaction": transaction,
        }
        for name, path in QUESTIONS.items():
            yield name, f"/api/v1{path.format(**values)}"


if __name__ == "__main__":
    sys.exit(main())
