"""Whatever people and model runs do, in whatever order: the state is the fold of the events, and the chain holds."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from pipelines.breaks import actions
from pipelines.breaks.errors import BreakError
from pipelines.breaks.ledger import OPEN_STATES, read_break
from pipelines.breaks.verification import FIRST_HASH, verify
from pipelines.core.postgres import connect
from tests.conftest import copy_database, drop_database
from tests.integration.breaks.events import AT, evaluation, folded, lacks_vima, lay_seeds, system_event

Connection = psycopg.Connection[Any]
names = itertools.count(1)

PEOPLE = ("asha", "ravi", "meera")
HUMAN: dict[str, Callable[..., Any]] = {
    "ack": actions.acknowledge,
    "assign": lambda c, **known: actions.assign(c, **known, owner="ravi"),
    "comment": lambda c, **known: actions.comment(c, **known, text="a, 3:b\u0000 – ünï"),
    "ask": lambda c, **known: actions.ask_provider(c, **known, text="ticket"),
    "explain": lambda c, **known: actions.explain(c, **known, reason_code="other", text="said"),
    "write_off": lambda c, **known: actions.write_off(c, **known, reason_code="goodwill", text="lost"),
    "test": lambda c, **known: actions.exclude_test(c, **known, text="ours"),
    "approve": actions.approve,
    "reject": lambda c, **known: actions.reject(c, **known, text="no"),
    "reopen": lambda c, **known: actions.reopen(c, **known, text="again"),
}
SYSTEM = ("change", "resolve", "reopen_by_data")
MOVES = st.tuples(
    st.sampled_from((*HUMAN, *SYSTEM, "match")), st.integers(0, 2), st.sampled_from(PEOPLE), st.integers(-1, 1)
)


@pytest.fixture(scope="module")
def log(server_url: str, prepared_template: str) -> Iterator[Connection]:
    """One log for all examples: each goes on where the last one ended."""
    url = copy_database(server_url, prepared_template)
    lay_seeds(url)
    with connect(url, autocommit=True) as connection:
        yield connection
    drop_database(url)


def move(connection: Connection, break_id: str, partner: str, what: str, who: str, behind: int) -> None:
    """One attempt; what is refused must leave no trace, which the fold would show."""
    found = read_break(connection, break_id)
    known = {
        "break_id": break_id,
        "actor": who,
        "expected_event_number": found.last_event_number - max(behind, 0),
        "at": AT + timedelta(seconds=found.last_event_number),
    }
    if what in HUMAN:
        HUMAN[what](connection, **known)
    elif what == "match":
        number = read_break(connection, partner).last_event_number
        asked = {"partner_break_id": partner, "partner_expected_event_number": number}
        actions.force_match(connection, **known, **asked, reason_code="same_payment", text="one")
    elif what == "change" and found.is_open:
        said = evaluation(break_id, exposure=found.exposure + 1) if break_id.startswith("v") else lacks_vima(break_id)
        system_event(connection, break_id, "changed", found.state, said, evidence=f"e{found.last_event_number}")
    elif what == "resolve" and found.state != "auto_resolved":
        system_event(connection, break_id, "resolved", "auto_resolved", cause="late_arrival")
    elif what == "reopen_by_data" and found.state not in OPEN_STATES:
        system_event(connection, break_id, "reopened", "reopened", evaluation(break_id), cause="data_changed")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, max_size=25), large=st.booleans())
def test_state_is_the_fold_of_the_events(log: Connection, moves: list[tuple[str, int, str, int]], large: bool) -> None:
    number = next(names)
    ids = [f"v{number}-1", f"p{number}-1", f"v{number}x-1"]
    amount = 20_000 if large else 500
    system_event(log, ids[0], "opened", "open", evaluation(ids[0], exposure=amount, vima_amount=amount))
    system_event(log, ids[1], "opened", "open", lacks_vima(ids[1], exposure=amount, payshack_amount=amount))
    system_event(log, ids[2], "opened", "open", evaluation(ids[2], exposure=0))
    for what, place, who, behind in moves:
        try:
            move(log, ids[place], ids[(place + 1) % 2], what, who, behind)
        except BreakError:
            continue
    cursor = log.cursor(row_factory=dict_row)
    for break_id in ids:
        events = cursor.execute(
            "select * from breaks.events where break_id = %s order by event_number", (break_id,)
        ).fetchall()
        state = cursor.execute("select * from breaks.state where break_id = %s", (break_id,)).fetchone()
        assert state is not None
        expected = folded(events)
        assert {name: state[name] for name in expected} == expected
        assert [event["event_number"] for event in events] == list(range(1, len(events) + 1))
        assert state["last_event_number"] == len(events)
        decided = [
            event
            for event in events
            if event["action"] in ("written_off", "force_matched") and event["proposal"] is None
        ]
        for event in decided:
            if event["linked_event_number"] is not None:
                assert events[event["linked_event_number"] - 1]["actor"] != event["actor"]
    report = verify(log)
    assert report.findings == []


TAMPERINGS = {
    "a word": "update breaks.events set text = 'nothing' where sequence = 3",
    "an actor": "update breaks.events set actor = 'ravi' where sequence = 3",
    "a time": "update breaks.events set at = at + interval '1 microsecond' where sequence = 3",
    "an amount": "update breaks.events set evaluation = evaluation || '{\"exposure\": 501}' where sequence = 1",
    "a field moved": "update breaks.events set text = cause, cause = text where sequence = 4",
    "an event in the middle": "delete from breaks.events where sequence = 3",
    "the last event": "delete from breaks.events where sequence = 5",
    "two changed places": "update breaks.events set sequence = 99 where sequence = 4;"
    " update breaks.events set sequence = 4 where sequence = 5;"
    " update breaks.events set sequence = 5 where sequence = 99",
    "a state": "update breaks.state set state = 'explained' where break_id = 'b-1'",
    "an owner": "update breaks.state set owner = 'ravi' where break_id = 'a-1'",
    "a state removed": "delete from breaks.state where break_id = 'b-1'",
}


def test_every_tampering_is_seen(server_url: str, prepared_template: str) -> None:
    url = copy_database(server_url, prepared_template)
    lay_seeds(url)
    with connect(url, autocommit=True) as connection:
        assert verify(connection).head == f"0:{FIRST_HASH}"
        system_event(connection, "a-1", "opened", "open", evaluation("a-1"))
        system_event(connection, "b-1", "opened", "open", evaluation("b-1"))
        known = {"break_id": "a-1", "actor": "asha", "at": AT}
        actions.comment(connection, **known, text="something", expected_event_number=1)
        early = verify(connection)
        actions.explain(connection, **known, reason_code="other", text="said", expected_event_number=2)
        actions.comment(connection, **known, text="end", expected_event_number=3)
        report = verify(connection, known_heads=[early.head])
        assert (report.ok, report.events) == (True, 5)
        # Triggers keep everybody out, the owner's mistakes included; whoever switches them off is seen.
        connection.execute("alter table breaks.events disable trigger user")
        for what, statement in TAMPERINGS.items():
            with connection.transaction(force_rollback=True):
                connection.execute(statement)
                assert not verify(connection).ok, what
        # Cut off at the end, head and states rewritten: only a remembered head tells.
        connection.execute("delete from breaks.events where sequence > 2")
        connection.execute(
            "update breaks.head set (last_sequence, last_hash) ="
            " (select sequence, event_hash from breaks.events where sequence = 2)"
        )
        connection.execute("delete from breaks.state; insert into breaks.state select * from breaks.folded")
        assert verify(connection).ok
        assert verify(connection, known_heads=[early.head]).findings == [f"the head {early.head} is not in the chain"]
    drop_database(url)
