"""How well young hours are judged: ten minutes after their end, against what came of them, on replayed history."""

from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
from pipelines.sandbox.world import World
from tests.integration.dbt.conftest import Warehouse
from tests.matured import ENOUGH, ESTIMATES, final_rates, judge, told
from tests.replay import Replay

ANCHOR = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def test_young_hours_are_judged_by_what_they_will_be(dbt_warehouse: Warehouse) -> None:
    """Two weeks learnt, then three busy hours replayed, each looked at ten minutes after its end."""
    world = World(seed=11, orders=9000, anchor=ANCHOR, is_live=False)
    replay = Replay(world)
    judged = []
    for number in range(3):
        hour = ANCHOR - timedelta(hours=3 - number)
        moment = hour + timedelta(hours=1, minutes=10)
        with connect(dbt_warehouse.url) as connection:
            replay.tell(connection, moment)
        # The first run builds everything; the others go by what has changed, as every minute's do.
        (dbt_warehouse.changes if number else dbt_warehouse.models)(moment)
        found = dbt_warehouse.query(ESTIMATES, {"hour": hour, "enough": ENOUGH})
        judged += judge(found, hour, final_rates(world, hour))
    print(told(judged))  # noqa: T201 - both shares, for whoever looks at the log
    assert {item.source for item in judged} == {"vima", "payshack"}
    assert len(judged) >= 5
    close = sum(item.matured_is_close for item in judged) / len(judged)
    # Five of six: an hour of this small world is a handful of payments. tests.bench.matured_rate judges a whole day.
    assert close >= 0.8, told(judged)
    assert sum(item.raw_is_close for item in judged) / len(judged) < 0.5, told(judged)
