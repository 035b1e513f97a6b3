"""From a page that a provider serves to committed rows of the raw log: rows a second, CPU, memory; by `make bench`.

    both providers from memory (tests/prerendered) -> each contender in a process of its own -> medians over repeats

Beside the platform's own loads, in the same run and with the same operations: a bare COPY of their payloads into a
table of one jsonb column, dlt's plain path for dicts, and a client that upserts row by row with SQLAlchemy. These three
begin with payloads in memory, the loads with an HTTP request. CPU is that of the process and of PostgreSQL together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from pipelines.core import embedded_postgres
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.settings import load_settings
from pipelines.sandbox.world import World
from tests.conftest import copy_database, drop_database
from tests.contenders import CONTENDERS, Outcome
from tests.sandbox import ROOT, sandbox_providers

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
ORDERS, ROWS, REPEATS, MILLION = 600_000, 20_000, 3, 1_000_000
LEAST_OF_COPY, LEAST_OF_DLT, MOST_MEGABYTES, MOST_SECONDS = 0.5, 5.0, 400.0, 0.5
LOADS = ("Vima feed", "Vima window", "PayShack window")


def main() -> int:
    """Print a line per contender and what is judged; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", nargs="*", default=[*CONTENDERS], help=", ".join(CONTENDERS))
    parser.add_argument("--no-million", action="store_true", help="leave out the feed of a million rows")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="psp-ingestion-") as folder:
        home = Path(folder) / "home"
        server = embedded_postgres.start(load_settings({"PSP_HOME": str(home)}))
        try:
            template = copy_database(server, None)
            prepare_warehouse(template)
            outcomes = _compare(home, template, asked.only, asked.repeats)
            if not asked.no_million:
                outcomes["a million rows"] = _million(home.with_name("million"), template)
        finally:
            embedded_postgres.stop(load_settings({"PSP_HOME": str(home)}))
    for name, outcome in outcomes.items():
        sys.stdout.write(
            f"{name:<16} {outcome.rows:>8} rows {outcome.seconds:7.2f} s {outcome.rate:8.0f} rows/s   CPU "
            f"{outcome.own_cpu:6.2f} s + PostgreSQL {outcome.database_cpu:6.2f} s   peak {outcome.megabytes:4.0f} MB\n"
        )
    return _judge(outcomes)


def _compare(home: Path, template: str, names: list[str], repeats: int) -> dict[str, Outcome]:
    """Medians by wall time. In turns, so that a busy moment of the machine meets all."""
    with sandbox_providers(home, orders=ORDERS, now=NOW, module="tests.prerendered") as providers:
        cursor = _cursor_before(providers.world, ROWS)
        # The first reading fills the providers' memories; it is not counted.
        for name in {"Vima feed", *LOADS} & {"Vima feed", *names}:
            _run(name, cursor, providers.environment, template)
        turns: list[dict[str, Outcome]] = []
        for number in range(1, repeats + 1):
            sys.stderr.write(f"turn {number} of {repeats} ...\n")
            turns.append({name: _run(name, cursor, providers.environment, template) for name in names})
    return {
        name: sorted((turn[name] for turn in turns), key=lambda outcome: outcome.seconds)[repeats // 2]
        for name in names
    }


def _million(home: Path, template: str) -> Outcome:
    """The feed from its first row on; the provider renders each page, so only the memory says something."""
    with sandbox_providers(home, orders=MILLION, now=NOW) as providers:
        return _run("Vima feed", _cursor_before(providers.world, MILLION), providers.environment, template)


def _cursor_before(world: World, rows: int) -> int:
    """The update id that so many operations follow."""
    millis = world.reach(NOW)
    events = world.events()
    ids = events.update_id[(events.at <= millis) & (events.until > millis)]
    return int(ids[-rows - 1]) if len(ids) > rows else int(np.min(ids)) - 1


def _run(name: str, cursor: int, environment: dict[str, str], template: str) -> Outcome:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PSP_", "VIMA_", "PAYSHACK_"))}
    url = copy_database(template, urlsplit(template).path.lstrip("/"))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.contenders", name, str(cursor)],
            cwd=ROOT,
            env=inherited | environment | {"PSP_DATABASE_URL": url},
            check=True,
            stdout=subprocess.PIPE,
        )
    finally:
        drop_database(url)
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def _judge(outcomes: dict[str, Outcome]) -> int:
    """Print every target that can be judged, and return the exit code."""
    judged: list[tuple[bool, str]] = []
    for load in LOADS:
        for baseline, least in (("bare COPY", LEAST_OF_COPY), ("dlt dicts", LEAST_OF_DLT)):
            if load in outcomes and baseline in outcomes:
                ratio = outcomes[load].rate / outcomes[baseline].rate
                judged.append((ratio >= least, f"{load}: {ratio:.2f} x {baseline} (at least {least:g})"))
    if "100 new rows" in outcomes:
        seconds = outcomes["100 new rows"].seconds
        judged.append((seconds < MOST_SECONDS, f"100 new rows: {seconds:.2f} s (under {MOST_SECONDS:g})"))
    if "a million rows" in outcomes:
        megabytes = outcomes["a million rows"].megabytes
        judged.append((megabytes < MOST_MEGABYTES, f"a million rows: {megabytes:.0f} MB (under {MOST_MEGABYTES:g})"))
    for holds, text in judged:
        sys.stdout.write(f"{'ok  ' if holds else 'MISS'} {text}\n")
    return int(not all(holds for holds, _ in judged))


if __name__ == "__main__":
    sys.exit(main())
