"""The matured success rate on replayed history: the last day of a 100,000-order world, hour by hour, real models.

Each project-hour with 100 or more payments is looked at ten minutes after its end; what was shown and what was
estimated are compared with what came of it. Learns from the nine days before.

    python -m tests.bench.matured_rate [--seed 7]
"""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
from pipelines.sandbox.world import World
from tests.bench_warehouse import bench_warehouse
from tests.matured import ENOUGH, ESTIMATES, final_rates, judge, told
from tests.replay import Replay

ANCHOR = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)
ORDERS = 100_000
LEARNT = timedelta(days=9)
HOURS = 24
GOAL = 0.9


def main() -> int:
    """Print both shares; exit code 1 when the estimate misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="another seed is another world")
    world = World(seed=parser.parse_args().seed, orders=ORDERS, anchor=ANCHOR, is_live=False)
    first = ANCHOR - timedelta(hours=HOURS)
    replay = Replay(world, since=first - LEARNT)
    judged, slowest = [], 0.0
    with bench_warehouse() as warehouse:
        # History is read before the hours that are judged: a payment without a creation time counts when it is first
        # read, and those of all nine days would fall into one hour.
        with connect(warehouse.url) as connection:
            replay.tell(connection, first - timedelta(minutes=30))
        for number in range(HOURS):
            hour = first + timedelta(hours=number)
            moment = hour + timedelta(hours=1, minutes=10)
            with connect(warehouse.url) as connection:
                replay.tell(connection, moment)
            began = time.monotonic()
            (warehouse.changes if number else warehouse.models)(moment)
            slowest = max(slowest, time.monotonic() - began if number else 0)
            found = warehouse.query(ESTIMATES, {"hour": hour, "enough": ENOUGH})
            judged += judge(found, hour, final_rates(world, hour))
    for item in judged:
        if not item.matured_is_close:
            sys.stdout.write(
                f"missed: {item.source} {item.project} {item.hour:%d %b %H:%M}, {item.created} payments:"
                f" raw {item.raw:.1%}, matured {item.matured:.1%}, final {item.final:.1%}\n"
            )
    sys.stdout.write(f"{told(judged)}slowest hourly run of all models: {slowest:.1f} s\n")
    return 0 if sum(item.matured_is_close for item in judged) >= GOAL * len(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
