"""Reading Vima to the end: every row once, whatever the cursor means, and never for ever."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import SourceContractError, SourceUnavailable
from pipelines.core.runtime import VimaAccess
from pipelines.sources.common.transport import Parameters
from pipelines.sources.vima import source
from pipelines.sources.vima.client import PAGE_SIZE, VimaClient
from pipelines.sources.vima.source import ReadProgress, feed_pages, window_pages

ACCESS = VimaAccess(base_url="http://vima.example/api", api_key="invented-key-31", page_pause_seconds=0)
START = datetime(2026, 1, 15, tzinfo=UTC)
ANSWER_LIMIT = 2_000


class Vima:
    """The collector API in memory; `before` may change it before an answer, counted from 1."""

    def __init__(self, update_ids: list[int], *, inclusive: bool = False, wrapped: bool = False) -> None:
        self.rows = [self.row(number, update_id) for number, update_id in enumerate(update_ids)]
        self.inclusive, self.wrapped = inclusive, wrapped
        self.asked: list[dict[str, Any]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.edit: Callable[[list[Any]], list[Any]] = lambda page: page

    @staticmethod
    def row(number: int, update_id: int, **fields: Any) -> dict[str, Any]:
        ids = {"operation_id": str(10**18 + number), "operation_create_id": str(update_id)}
        return ids | {"operation_update_id": str(update_id)} | fields

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        assert url == "http://vima.example/api/operation"
        assert params["apikey"] == ACCESS.api_key
        assert params["descending"] == "false"
        self.asked.append(dict(params))
        assert len(self.asked) < ANSWER_LIMIT, "it reads for ever"
        self.before(len(self.asked))
        field = "operation_update_id" if "from_operation_update_id" in params else "operation_create_id"
        cursor = int(params[f"from_{field}"])
        rows = sorted(self.rows, key=lambda row: int(row[field] or 0))
        page = [row for row in rows if not row[field] or int(row[field]) >= cursor + (not self.inclusive)]
        answer = self.edit(page[: int(params["count"])])
        return json.dumps({"operations": answer} if self.wrapped else answer).encode()

    def clock(self) -> datetime:
        return START + timedelta(seconds=len(self.asked))

    def read(self, progress: ReadProgress | None = None, *, max_pages: int = 50, day: date | None = None) -> list[Any]:
        """All rows of a read that is broken off after every `max_pages` and taken up again."""
        progress = progress or ReadProgress()
        client, rows = VimaClient(ACCESS, self), []
        for _ in range(ANSWER_LIMIT):
            options: Any = {"progress": progress, "clock": self.clock}
            pages = window_pages(client, day=day, **options) if day else feed_pages(client, **options)
            for table in islice(pages, max_pages):
                rows += table.to_pylist()
            if progress.complete_at is not None:
                break
        return rows


def identities(rows: list[Any]) -> Counter[str]:
    return Counter(json.loads(row["payload"])["operation_id"] for row in rows)


def all_of(vima: Vima) -> Counter[str]:
    return Counter(row["operation_id"] for row in vima.rows)


@given(
    repeats=st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 30, 97]), max_size=40),
    gaps=st.lists(st.integers(1, 10**6), min_size=40, max_size=40),
    inclusive=st.booleans(),
    wrapped=st.booleans(),
    max_pages=st.integers(1, 4),
)
def test_every_row_comes_once_whatever_the_cursor_means(
    repeats: list[int], gaps: list[int], inclusive: bool, wrapped: bool, max_pages: int
) -> None:
    order, update_ids = 9 * 10**17, []
    for count, gap in zip(repeats, gaps, strict=False):
        order += gap
        update_ids += [order] * count
    vima = Vima(update_ids, inclusive=inclusive, wrapped=wrapped)
    progress = ReadProgress()
    assert identities(vima.read(progress, max_pages=max_pages)) == all_of(vima)
    assert progress.cursor == (max(update_ids) if update_ids else None)


def test_seen_rows_that_fill_a_page_before_the_cursor_hide_nothing() -> None:
    """An inclusive cursor shows 3 + 97 seen rows again; one more row waits behind them."""
    vima = Vima([1] * 3 + [2] * 97 + [3], inclusive=True)
    assert identities(vima.read()) == all_of(vima)


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250])
def test_a_page_that_is_exactly_full_or_short_is_no_end(count: int, inclusive: bool) -> None:
    vima = Vima(list(range(1, count + 1)), inclusive=inclusive)
    assert identities(vima.read()) == all_of(vima)


def test_ids_are_compared_as_numbers_of_any_length() -> None:
    vima = Vima([9, 10, 99, 100, 9 * 10**17, 10**18, 2**63 - 1])
    assert identities(vima.read()) == all_of(vima)


def test_a_short_page_in_the_middle_is_no_end() -> None:
    vima = Vima(list(range(1, 251)))
    vima.edit = lambda page: page[:7]
    assert identities(vima.read()) == all_of(vima)


def test_the_next_read_goes_on_from_the_cursor_and_sees_late_changes() -> None:
    vima = Vima(list(range(1, 151)))
    progress = ReadProgress()
    vima.read(progress)
    vima.rows[3] = Vima.row(3, 900, payment_status="success")
    vima.rows.append(Vima.row(150, 901))
    again = vima.read(ReadProgress(cursor=progress.cursor))
    assert {row["record_id"] for row in again} >= {vima.rows[3]["operation_id"], vima.rows[-1]["operation_id"]}
    assert len(again) <= 3


def test_rows_that_change_while_they_are_read_come_in_both_versions() -> None:
    vima = Vima(list(range(1, 301)))

    def change(number: int) -> None:
        if number == 2:
            vima.rows[5] = Vima.row(5, 5000, payment_status="success")

    vima.before = change
    rows = vima.read()
    assert identities(rows)[vima.rows[5]["operation_id"]] == 2
    assert {row["source_order"] for row in rows} >= {6, 5000}


def test_complete_is_when_the_request_that_found_nothing_was_sent() -> None:
    vima = Vima(list(range(1, 151)))
    progress = ReadProgress()
    vima.read(progress)
    assert progress.complete_at == START + timedelta(seconds=len(vima.asked) - 1)


def test_a_page_in_disorder_loses_nothing() -> None:
    vima = Vima(list(range(1, 251)))
    vima.edit = lambda page: page[::-1]
    assert identities(vima.read()) == all_of(vima)


def test_an_answer_to_another_question_is_asked_again() -> None:
    vima = Vima(list(range(1, 301)))
    stale: list[Any] = []

    def repeat(page: list[Any]) -> list[Any]:
        answer = list(stale) if len(vima.asked) == 2 else page
        stale[:] = page
        return answer

    vima.edit = repeat
    assert identities(vima.read()) == all_of(vima)


def test_a_provider_that_ignores_the_cursor_is_an_error_and_not_an_end() -> None:
    vima = Vima([])
    everything = [Vima.row(number, number + 1) for number in range(250)]
    vima.edit = lambda page: everything[:100]
    with pytest.raises(SourceContractError, match="is not obeyed"):
        vima.read()


@pytest.mark.parametrize("inclusive", [True, False])
def test_more_rows_on_one_id_than_a_page_holds_are_an_error_and_not_an_end(inclusive: bool) -> None:
    vima = Vima([5] * (PAGE_SIZE + 1) + [6], inclusive=inclusive)
    with pytest.raises(SourceContractError, match="does not move: 100 rows share one id"):
        vima.read()


def test_records_without_an_order_id_come_once_and_block_nothing() -> None:
    vima = Vima(list(range(1, 251)))
    vima.rows += [{"operation_id": "700", "operation_update_id": None, "operation_create_id": None}]
    rows = vima.read()
    assert identities(rows) == all_of(vima)
    assert [row["quarantine_reason"] for row in rows if row["record_id"] == "700"] == ["missing_order"]


def test_records_without_any_id_are_told_apart_by_what_they_hold() -> None:
    vima = Vima([1])
    vima.rows += [
        {"operation_id": None, "operation_update_id": "1", "operation_create_id": "1", "n": n} for n in (1, 2)
    ]
    rows = vima.read()
    assert [row["quarantine_reason"] for row in rows] == [None, "missing_id", "missing_id"]


def test_a_quarantined_record_moves_the_cursor_too() -> None:
    vima = Vima([1, 2])
    vima.rows.append(Vima.row(2, 3, complete_amount="broken"))
    progress = ReadProgress()
    rows = vima.read(progress)
    assert (rows[-1]["quarantine_reason"], rows[-1]["load_position"]) == ("broken_amount", 3)
    assert progress.cursor == 3


def test_what_was_read_before_a_failure_is_handed_over_and_the_next_read_goes_on_from_there() -> None:
    vima = Vima(list(range(1, 401)))

    def fail(number: int) -> None:
        if number == 3:
            raise SourceUnavailable("Vima does not answer.")

    vima.before = fail
    progress, handed = ReadProgress(), []
    with pytest.raises(SourceUnavailable):
        handed.extend(feed_pages(VimaClient(ACCESS, vima), progress=progress, clock=vima.clock))
    assert sum(table.num_rows for table in handed) == 199
    assert progress.complete_at is None
    vima.read(progress)
    assert progress.rows == 400


def test_a_cursor_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_PAGES", 2)
    vima = Vima(list(range(1, 401)))
    with pytest.raises(SourceUnavailable, match="has not come to an end after 2 pages"):
        list(feed_pages(VimaClient(ACCESS, vima), progress=ReadProgress(), clock=vima.clock))


def test_a_window_reads_one_created_day_by_the_create_cursor() -> None:
    vima = Vima(list(range(1, 151)))
    rows = vima.read(day=date(2026, 1, 14))
    assert {asked["date"] for asked in vima.asked} == {"2026-01-14"}
    assert all("from_operation_create_id" in asked for asked in vima.asked)
    assert {(row["load_mode"], row["load_scope"]) for row in rows} == {("window", "2026-01-14")}
    assert identities(rows) == all_of(vima)


@pytest.mark.parametrize("body", [b'{"error": "x"}', b'"text"', b"5", b'{"operations": null}', b"[1", b"<html>"])
def test_an_answer_of_another_shape_is_a_clear_error(body: bytes) -> None:
    class Odd:
        def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
            return body

    with pytest.raises(SourceContractError, match="not an array of operations") as caught:
        VimaClient(ACCESS, Odd()).page()
    assert ACCESS.api_key not in str(caught.value)
