"""Loaders killed at 200 random instants: `python -m tests.bench.kill_feed [--kills 200] [--seed N]` (`make soak`).

Feeds and windows of both sources are started over and over on a world that moves on, and most are ended with SIGKILL.
The instants are seeded and printed. In the end every record in the raw log is compared with what the providers have
shown. Exit code 1 when one is lost, doubled or invented.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from pipelines.core import embedded_postgres
from pipelines.core.postgres import prepare_warehouse
from pipelines.core.runtime import payshack_access
from pipelines.core.settings import load_settings
from pipelines.sources.payshack.session import SessionStore
from tests.kills import run_with_kills
from tests.sandbox import STANDING_AT, sandbox_providers


def main() -> int:
    """Run, print the instants and the verdict, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311 - printed
    parser.add_argument("--orders", type=int, default=600)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="psp-kills-") as folder,
        sandbox_providers(
            Path(folder), orders=asked.orders, vima=("--faults",), payshack=("--faults", "--envelope", "plain")
        ) as providers,
    ):
        server = load_settings({"PSP_HOME": str(Path(folder) / "server")})
        url = embedded_postgres.start(server)
        try:
            prepare_warehouse(url)
            settings = providers.settings(PSP_DATABASE_URL=url)
            SessionStore(settings).session(payshack_access(settings))
            sys.stdout.write(f"seed {asked.seed}\n")
            result = run_with_kills(
                kills=asked.kills,
                seed=asked.seed,
                environment=providers.environment | {"PSP_DATABASE_URL": url},
                world=providers.world,
                start=STANDING_AT,
                say=lambda line: print(line, flush=True),  # noqa: T201 - a bench talks
            )
        finally:
            embedded_postgres.stop(server)
    for line in result.wrong[:20]:
        sys.stdout.write(f"WRONG {line}\n")
    sys.stdout.write(
        f"{result.killed} kills ({result.kills['vima']} Vima, {result.kills['payshack']} PayShack), "
        f"{sum(result.ended.values())} loads that ended, {result.epochs} epochs, {result.versions} versions compared, "
        f"{len(result.wrong)} differences, {result.seconds:.0f} s\n"
    )
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
