"""Reading a PayShack day whose list shifts under the reader: complete means complete, and today ends as well."""

import itertools
import random
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipelines.core.errors import SourceContractError, SourceUnavailable
from pipelines.sources.payshack.source import MAX_ROUNDS, DayProgress, day_pages, order_pages
from tests.unit.sources.payshack_in_memory import START, PayShack, transaction

DAY = date(2026, 1, 15)


def clock() -> datetime:
    return START


def read(payshack: PayShack, progress: DayProgress | None = None) -> tuple[DayProgress, list[dict[str, Any]]]:
    progress = progress or DayProgress()
    pages = day_pages(payshack.client(), flow="payin", day=DAY, progress=progress, clock=clock, load_mode="feed")
    rows = [row for table in pages for row in table.to_pylist()]
    return progress, rows


def day_of(count: int) -> PayShack:
    return PayShack([transaction(number) for number in range(count)])


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["record_id"] for row in rows}


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 201, 450])
def test_a_day_that_stands_still_is_read_once(count: int) -> None:
    payshack = day_of(count)
    progress, rows = read(payshack)
    assert progress.is_complete
    assert (progress.rounds, progress.total, progress.found) == (1, count, count)
    assert len(rows) == len(ids(rows)) == count


def test_a_day_of_one_page_costs_one_request() -> None:
    payshack = day_of(100)
    read(payshack)
    assert len(payshack.asked) == 1


def test_rows_that_push_others_to_the_next_page_are_not_doubled() -> None:
    payshack = day_of(250)
    payshack.before = lambda number: payshack.rows.append(transaction(1000 + number))
    progress, rows = read(payshack)
    assert progress.is_complete
    assert progress.rounds == 1
    assert len(rows) == len(ids(rows))
    assert ids(rows) >= {f"T{number:06d}" for number in range(250)}
    assert progress.total == progress.found == 251  # what existed when the reading began


def busy(count: int, arrivals: int) -> PayShack:
    """A day that gets `arrivals` records before every answer but the first."""
    payshack = day_of(count)
    numbers = itertools.count(10_000)

    def arrive(asked: int) -> None:
        for _ in range(arrivals if asked > 1 else 0):
            number = next(numbers)
            payshack.rows.append(transaction(number, START + timedelta(hours=8, milliseconds=number)))

    payshack.before = arrive
    return payshack


@pytest.mark.parametrize("count", [101, 300, 450])
@pytest.mark.parametrize("arrivals", [1, 7, 40, 63])
def test_a_busy_today_ends_in_its_first_reading(count: int, arrivals: int) -> None:
    progress, rows = read(busy(count, arrivals))
    assert progress.is_complete
    assert progress.rounds == 1
    assert progress.total == progress.found == count
    assert ids(rows) >= {f"T{number:06d}" for number in range(count)}


@pytest.mark.parametrize("arrivals", [95, 130, 250])
def test_more_arrivals_than_can_be_read_are_given_up_after_a_bounded_time(arrivals: int) -> None:
    payshack = busy(150, arrivals)
    progress, _ = read(payshack)
    assert not progress.is_complete
    assert len(payshack.asked) < 100


@pytest.mark.parametrize("seed", range(30))
def test_removed_rows_pull_others_back_and_the_day_is_read_again(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's own world
    payshack = day_of(350)

    def remove(number: int) -> None:
        if number in (2, 3):
            payshack.rows.remove(chance.choice(payshack.rows))

    payshack.before = remove
    progress, rows = read(payshack)
    assert progress.is_complete
    assert progress.rounds > 1
    assert ids(rows) >= {row["txnId"] for row in payshack.rows}


def test_a_row_that_appears_below_the_newest_is_found() -> None:
    payshack = day_of(250)

    def late(number: int) -> None:
        if number == 3:
            payshack.rows.append(transaction(9999, START + timedelta(seconds=1)))

    payshack.before = late
    progress, rows = read(payshack)
    assert progress.is_complete
    assert "T009999" in ids(rows)


def test_a_day_that_never_stands_still_is_handed_over_and_is_not_complete() -> None:
    payshack = day_of(250)
    payshack.before = lambda number: payshack.rows.append(transaction(5000 + number, START + timedelta(seconds=number)))
    progress, rows = read(payshack)
    assert not progress.is_complete
    assert progress.rounds == MAX_ROUNDS
    assert ids(rows) >= {f"T{number:06d}" for number in range(250)}


def test_a_change_between_two_readings_comes_as_a_second_version() -> None:
    payshack = day_of(250)

    def change(number: int) -> None:
        if number == 2:
            payshack.rows.remove(payshack.rows[0])  # forces another reading
        if number == 5:
            payshack.rows[-1]["txnStatus"] = "Success"

    payshack.before = change
    progress, rows = read(payshack)
    assert progress.is_complete
    versions = [row for row in rows if row["record_id"] == "T000249"]
    assert len({row["content_hash"] for row in versions}) == len(versions) == 2


def test_a_provider_that_counts_wrong_is_not_believed() -> None:
    payshack = day_of(50)
    payshack.answer = lambda body: body.replace(b'"totalRecords": 50', b'"totalRecords": 51')
    progress, rows = read(payshack)
    assert not progress.is_complete
    assert len(rows) == 50


def test_a_repeated_last_page_does_not_read_for_ever() -> None:
    payshack = day_of(250)
    first: list[bytes] = []

    def repeat(body: bytes) -> bytes:
        first.append(body)
        return first[0]

    payshack.answer = repeat
    with pytest.raises(SourceContractError, match="belongs to another request"):
        read(payshack)


@pytest.mark.parametrize("created", [None, "never", 5])
def test_rows_without_a_creation_time_that_can_be_read_are_counted(created: object) -> None:
    payshack = day_of(150)
    for number in (0, 70, 149):
        payshack.rows[number]["createdAt"] = created
    payshack._data = (
        lambda path, params: {  # type: ignore[method-assign]
            "transactions": payshack.rows[::-1][(int(params["page"]) - 1) * 100 : int(params["page"]) * 100],
            "totalRecords": 150,
        }
    )
    progress, rows = read(payshack)
    assert progress.is_complete
    assert len(rows) == 150


def test_rows_without_an_id_are_counted_by_what_they_hold() -> None:
    payshack = day_of(3)
    payshack.rows += [{"orderId": f"X{n}", "createdAt": "2026-01-15T10:00:00Z"} for n in range(2)]
    progress, rows = read(payshack)
    assert progress.is_complete
    assert [row["quarantine_reason"] for row in rows if row["record_id"] is None] == ["missing_id", "missing_id"]


def test_what_was_read_before_a_failure_is_handed_over() -> None:
    payshack = day_of(250)

    def fail(number: int) -> None:
        if number == 3:
            raise SourceUnavailable("PayShack does not answer.")

    payshack.before = fail
    progress, handed = DayProgress(), []
    pages = day_pages(payshack.client(), flow="payin", day=DAY, progress=progress, clock=clock, load_mode="feed")
    with pytest.raises(SourceUnavailable):
        handed.extend(pages)
    assert sum(table.num_rows for table in handed) == progress.rows == 200
    assert not progress.is_complete


def test_one_day_is_asked_for_and_nothing_wider() -> None:
    payshack = day_of(150)
    read(payshack)
    for _, params, _ in payshack.asked:
        assert params["dateFrom"] == params["dateTo"] == "2026-01-15"
        assert params["limit"] <= 100


def test_an_order_is_read_with_all_its_attempts() -> None:
    payshack = PayShack([transaction(number, orderId="O1" if number % 2 else "O2") for number in range(300)])
    tables: list[pa.Table] = list(order_pages(payshack.client(), flow="payin", order_ids=["O1", "absent"], clock=clock))
    rows = [row for table in tables for row in table.to_pylist()]
    assert len(ids(rows)) == 150
    assert {(row["load_mode"], row["order_key"]) for row in rows} == {("recheck", "O1")}
