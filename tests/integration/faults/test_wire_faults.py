"""The line misbehaves while a feed reads: it goes on by itself, or says why not and the next one goes on.

After each fault the raw log is exactly what the provider holds, nothing twice; conftest.py says what else is looked at.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.faults.conftest import Lab

SOURCES = ("vima", "payshack")
HUGE = 33 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Case:
    """A fault in the middle of a load; `told` is the error that it must end in, None where the load goes on."""

    name: str
    fault: dict[str, Any]
    told: str | None = None


CASES = (
    Case("a storm of 429 that ends", {"fault": "status", "status": 429, "retry_after": 0.01, "times": 5}),
    Case(
        "a storm of 429 that does not end", {"fault": "status", "status": 429, "times": 50}, "after 6 tries: HTTP 429"
    ),
    Case("a wish to be left alone", {"fault": "status", "status": 429, "retry_after": 3600}, "left alone for 3600 s"),
    Case("500s that end", {"fault": "status", "status": 500, "times": 4}),
    Case("500s that do not end", {"fault": "status", "status": 500, "times": 50}, "after 6 tries: HTTP 500"),
    Case("resets in mid-body that end", {"fault": "cut", "times": 4}),
    Case("resets in mid-body that do not end", {"fault": "cut", "times": 50}, "after 6 tries: RemoteProtocolError"),
    Case("a wrong content type", {"fault": "content_type"}, "answered text/plain instead of JSON"),
    Case("HTML instead of JSON", {"fault": "html"}, "answered text/html instead of JSON"),
    Case("an answer without end", {"fault": "bloat", "size": HUGE}, "sent more than 33554432 bytes"),
    Case("a page that comes twice", {"fault": "repeat"}),
    Case("rows out of order", {"fault": "disorder", "times": 2}),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("source", SOURCES)
def test_the_line(lab: Lab, source: str, case: Case) -> None:
    lab.tell(source, after=4, **case.fault)
    first = lab.feed(source)
    assert not lab.left(source) or case.told, "the fault has not come"
    if case.told is None:
        assert first.ok, first.told
    else:
        assert not first.ok
        assert case.told in first.told
        assert "Fix: " in first.told
        lab.heal(source)
        second = lab.feed(source)
        assert second.ok, second.told
    lab.assert_complete(source)


@pytest.mark.parametrize("source", SOURCES)
def test_time_outs(lab: Lab, source: str) -> None:
    lab.tell(source, fault="slow", seconds=5, times=1, after=4)
    assert lab.feed(source).ok
    lab.assert_complete(source)


@pytest.mark.parametrize("source", SOURCES)
def test_truncated_json(lab: Lab, source: str) -> None:
    """Where half an answer ends by chance like a whole one, it is told; else it is simply asked for again."""
    lab.tell(source, fault="truncated", times=2, after=4)
    first = lab.feed(source)
    assert first.ok or "array of operations" in first.told or "known shape" in first.told, first.told
    if not first.ok:
        lab.heal(source)
        assert lab.feed(source).ok
    lab.assert_complete(source)


def test_nesting_without_end_stops_nothing_but_itself(lab: Lab) -> None:
    lab.tell("payshack", fault="deep", after=4)
    first = lab.feed("payshack")
    assert "not of the known shape" in first.told
    assert lab.feed("payshack").ok
    lab.assert_complete("payshack")

    lab.tell("vima", fault="deep", after=4)
    assert lab.feed("vima").ok
    assert lab.value("select count(*) from raw.quarantine where reason = 'not_an_object'") == 1
    wrong = [line for line in _differences(lab, "vima") if not line.startswith("invented: ('vima_operations', '[[[[")]
    assert not wrong, wrong[:5]


def _differences(lab: Lab, source: str) -> list[str]:
    from tests.provider_history import differences

    return differences(lab.logged(source), lab.expected(source))


def test_a_cursor_that_does_not_move_is_told(lab: Lab) -> None:
    lab.tell("vima", fault="repeat", times=50, after=4)
    first = lab.feed("vima")
    assert "cursor operation_update_id is not obeyed" in first.told
    lab.heal("vima")
    assert lab.feed("vima").ok
    lab.assert_complete("vima")
