"""Convergence: whatever the order and the portions in which versions arrive, the models end where a rebuild would."""

import random
from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
from tests.integration.dbt.conftest import Rows, Warehouse
from tests.integration.dbt.worlds import CLIENTS, World, insert_log, insert_quarantine, insert_reading

START = datetime(2026, 1, 10, 11, 0, tzinfo=UTC)
LENGTH = timedelta(days=4)
PORTIONS = 6


class Arrivals:
    """Lets a world arrive in random portions while the clock and the watermarks move on."""

    def __init__(self, seed: int, warehouse: Warehouse) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - invented data, not a secret
        self._warehouse = warehouse
        self._world = World(seed, start=START, length=LENGTH)
        self._log = list(self._world.log)
        self._quarantine = list(enumerate(self._world.quarantine))
        self._portion = 0
        self._replays = list(self._quarantine)
        self.now = START

    def portion(self, *, last: bool) -> None:
        """What was read up to a later instant, less some of it that is late."""
        step = LENGTH / PORTIONS * self._chance.choice((0.02, 0.2, 1, 1.8))
        self.now = START + LENGTH + timedelta(days=2) if last else self.now + step
        arrived = [row for row in self._log if last or (row.observed_at <= self.now and self._chance.random() < 0.7)]
        self._portion += 1
        arrived += [] if last else self._world.just_made(self.now, self._portion)
        self._chance.shuffle(arrived)
        middle = len(arrived) // 2
        for part in (arrived[:middle], arrived[middle:]):
            with connect(self._warehouse.url) as connection:
                insert_log(connection, part)
        self._log = [row for row in self._log if row not in arrived]
        self._move_quarantine()
        self._move_watermarks()
        self._read_balances()

    def _read_balances(self) -> None:
        """Of some clients, at instants of the past, too; names are changed."""
        with connect(self._warehouse.url) as connection:
            for _ in range(30):
                number = self._chance.randrange(len(set(CLIENTS)))
                name = sorted(set(CLIENTS))[number if self._chance.random() < 0.9 else 0]
                at = START + (self.now - START) * self._chance.random()
                insert_reading(connection, f"client {number}", name, self._chance.choice((0, 500, 500)), at)

    def _move_quarantine(self) -> None:
        with connect(self._warehouse.url) as connection:
            for number, row in [item for item in self._quarantine if item[1].observed_at <= self.now]:
                insert_quarantine(connection, number, row)
                self._quarantine.remove((number, row))
            for number, row in [item for item in self._replays if item not in self._quarantine]:
                if row.replayed_at is not None and row.replayed_at <= self.now:
                    statement = "update raw.quarantine set replayed_at = %s where content_hash = %s"
                    connection.execute(statement, (row.replayed_at, f"q{number}"))
                    self._replays.remove((number, row))

    def _move_watermarks(self) -> None:
        with connect(self._warehouse.url) as connection:
            for source in ("vima", "payshack"):
                for flow in ("payin", "payout"):
                    if self._chance.random() < 0.6:
                        watermark = self.now - timedelta(seconds=self._chance.choice((1, 600, 40_000)))
                        connection.execute(
                            "insert into raw.source_watermarks as known (source, flow, watermark, updated_at)"
                            " values (%s, %s, %s, now()) on conflict (source, flow) do update"
                            " set watermark = greatest(known.watermark, excluded.watermark)",
                            (source, flow, watermark),
                        )


def assert_equal(incremental: dict[str, Rows], rebuilt: dict[str, Rows]) -> None:
    for name, rows in rebuilt.items():
        kept = incremental[name]
        if kept == rows:
            continue
        missing = [row for row in rows if row not in kept]
        wrong = [row for row in kept if row not in rows]
        raise AssertionError(f"{name}: not kept up to date {wrong[:3]}, a rebuild says {missing[:3]}")


def assert_sound(warehouse: Warehouse, now: datetime) -> None:
    """Every data test holds: keys, relationships, identities, conservation."""
    outcome = warehouse.invoke(now, ["test", "--exclude-resource-type", "unit_test"])
    failed = [f"{result.node.name}: {result.message}" for result in outcome.result if result.status != "pass"]
    assert outcome.success, failed


def test_portions_in_any_order_end_where_a_rebuild_does(dbt_warehouse: Warehouse) -> None:
    arrivals = Arrivals(2, dbt_warehouse)
    dbt_warehouse.models(arrivals.now)
    # The reviewed tolerances are all 0; the rule is tested with some.
    dbt_warehouse.query("update reference.amount_tolerances set tolerance_minor = 100, daily_cap_minor = 120")
    for number in range(PORTIONS):
        arrivals.portion(last=number == PORTIONS - 1)
        assert not dbt_warehouse.changes(arrivals.now).full_refresh
        if number in (PORTIONS // 2, PORTIONS - 1):
            kept = dbt_warehouse.marts()
            dbt_warehouse.rebuild(arrivals.now)
            assert_equal(kept, dbt_warehouse.marts())
    assert len(dbt_warehouse.marts()["fct_reconciliation"]) > 100
    assert_sound(dbt_warehouse, arrivals.now)


def test_a_run_without_news_writes_nothing(dbt_warehouse: Warehouse) -> None:
    arrivals = Arrivals(3, dbt_warehouse)
    arrivals.portion(last=True)
    dbt_warehouse.models(arrivals.now)
    written = "select max(changed_xid) as xid from {}"
    marts = ("marts.fct_transactions", "marts.fct_reconciliation")
    before = [dbt_warehouse.query(written.format(mart)) for mart in marts]
    for _ in range(2):
        dbt_warehouse.changes(arrivals.now)
    # Under other habits of printing the rows are still the same rows.
    name = dbt_warehouse.url.rsplit("/", 1)[1]
    dbt_warehouse.query(f"alter database {name} set datestyle = 'German'")
    dbt_warehouse.changes(arrivals.now)
    assert [dbt_warehouse.query(written.format(mart)) for mart in marts] == before
