"""The matured success rate on replayed history: the last day of a 100,000-order world, hour by hour, real models.

Each project-hour with 100 or more payments is looked at ten minutes after its end; what was shown and what was
estimated are compared with what came of it. Learns from the nine days before.
"""

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
    world = World(seed=7, orders=ORDERS, anchor=ANCHOR, is_live=False)
    first = ANCHOR - timedelta(hours=HOURS)
    replay = Replay(world, since=first - LEARNT)
    judged, slowest = [], 0.0
    with bench_warehouse() as warehouse:
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
    sys.stdout.write(f"{told(judged)}slowest hourly run of all models: {slowest:.1f} s\n")
    return 0 if sum(item.matured_is_close for item in judged) >= GOAL * len(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
