"""Days that are over hold as many ids in the raw log as the source counts; what is lost or withdrawn is told apart."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipelines.core.postgres import connect
from pipelines.loading.payshack import load_payshack_feed
from pipelines.loading.totals import closed_days
from tests.integration.payshack.conftest import DAY, NOW, Sandbox, payin

Start = Callable[..., Sandbox]


def test_lost_and_withdrawn_records_show_by_day(start_sandbox: Start, warehouse: str) -> None:
    sandbox = start_sandbox()
    world = sandbox.world
    start = datetime.combine(DAY, datetime.min.time(), UTC)
    # What waits in quarantine is not lost: with an id, and with neither an id nor a creation time.
    world.payins[3] = {**world.payins[3], "amount": "much"}
    world.payins.append(payin(901, start + timedelta(minutes=7), txnId=None, modifiedAt="yesterday"))
    world.payins.append(payin(902, NOW - timedelta(hours=1)))
    settings = sandbox.settings(PSP_DATABASE_URL=warehouse)
    load_payshack_feed(settings)

    def counted() -> dict[str, tuple[int, int]]:
        found = closed_days(settings, "payshack_payins", read_since=NOW - timedelta(hours=26))
        return {day.day.isoformat(): (day.lost, day.unlisted) for day in found if day.lost or day.unlisted}

    totals = closed_days(settings, "payshack_payins", read_since=NOW - timedelta(hours=26))
    assert {day.day.isoformat(): day.source_total for day in totals}[DAY.isoformat()] == 251
    assert "2026-01-15" not in {day.day.isoformat() for day in totals}, "today is not over"
    assert counted() == {}
    assert closed_days(settings, "payshack_payins", read_since=NOW + timedelta(seconds=1)) == []

    with connect(warehouse) as connection:
        connection.execute("delete from raw.payshack_payins where record_id in (%s, %s)", ("T" + f"{7:015d}",) * 2)
    assert counted() == {DAY.isoformat(): (1, 0)}

    load_payshack_feed(settings)
    assert counted() == {}, "reading the day again brings it back"
    del world.payins[100:102]
    load_payshack_feed(settings)
    assert counted() == {DAY.isoformat(): (0, 2)}
