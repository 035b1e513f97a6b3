"""Breaks over the sidecar: seen with the rows that disagree, acted on in the name of a key, and never twice."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from pipelines.sidecar.answers import Answer, Listing
from pipelines.sidecar.routes.breaks import Acted, BreakDetail
from pipelines.sidecar.shapes import Discrepant
from tests.integration.breaks.events import evaluation, system_event


def open_breaks(database: psycopg.Connection, condition: str = "true") -> list[str]:
    """Ids of open breaks that nobody has touched, the smallest exposure first."""
    rows = database.execute(
        b"select break_id from marts.fct_breaks where state = 'open' and last_event_number = 1 and %b"
        b" order by exposure, break_id" % condition.encode()
    ).fetchall()
    return [row[0] for row in rows]


def detail(api: httpx.Client, break_id: str) -> BreakDetail:
    answer = api.get(f"/breaks/{break_id}")
    assert answer.status_code == 200, answer.text
    return Answer[BreakDetail].model_validate_json(answer.content).data


def act(api: httpx.Client, break_id: str, action: str, number: int, **more: Any) -> httpx.Response:
    return api.post(f"/breaks/{break_id}/{action}", json={"expected_event_number": number, **more})


def acted(response: httpx.Response) -> Acted:
    assert response.status_code == 200, response.text
    return Answer[Acted].model_validate_json(response.content).data


def code(database: psycopg.Connection, action: str) -> str:
    row = database.execute(
        "select min(reason_code) from reference.break_explanations where action = %s", (action,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_rows_that_disagree_come_with_their_breaks(api: httpx.Client, database: psycopg.Connection) -> None:
    answer = api.get("/reconciliation/discrepancies", params={"limit": 100})

    rows = Listing[Discrepant].model_validate_json(answer.content).data
    found = {one.break_id: row.reconciliation_id for row in rows for one in row.breaks}
    expected = database.execute(
        "select break_id, reconciliation_id from marts.fct_breaks"
        " where reconciliation_id in"
        " (select reconciliation_id from marts.fct_reconciliation where outcome <> 'matched')"
    ).fetchall()
    assert found == dict(expected)
    assert found


def test_rows_are_found_by_the_state_of_a_break(api: httpx.Client, database: psycopg.Connection) -> None:
    for state in ("open", "explained"):
        answer = api.get("/reconciliation/discrepancies", params={"state": state, "limit": 100}).json()
        row = database.execute(
            "select count(*) from marts.fct_reconciliation where outcome <> 'matched' and reconciliation_id in"
            " (select reconciliation_id from marts.fct_breaks where state = %s)",
            (state,),
        ).fetchone()
        assert (answer["meta"]["total"],) == row
    assert api.get("/reconciliation/discrepancies", params={"state": "gone"}).status_code == 400


def test_a_break_is_taken_on_once(api: httpx.Client, database: psycopg.Connection) -> None:
    break_id = open_breaks(database)[0]
    before = detail(api, break_id)
    assert [event.action for event in before.events] == ["opened"]

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: act(api, break_id, "acknowledge", 1, text="mine"), range(6)))

    (done,) = [acted(answer) for answer in answers if answer.status_code == 200]
    assert (done.state, done.owner, done.last_event_number) == ("acknowledged", "all", 2)
    assert {answer.status_code for answer in answers} == {200, 409}
    assert all(answer.json()["error"]["code"] == "CONFLICT" for answer in answers if answer.status_code == 409)
    # What was kept is no longer given.
    after = detail(api, break_id)
    assert [(event.actor, event.action, event.text) for event in after.events[1:]] == [("all", "acknowledged", "mine")]


def test_a_break_is_closed_with_a_reason_of_the_action(api: httpx.Client, database: psycopg.Connection) -> None:
    break_id = open_breaks(database, "outcome <> 'matched'")[0]
    why = {"text": "seen with the provider"}
    assert act(api, break_id, "explain", 1, **why).status_code == 400
    assert act(api, break_id, "explain", 1, reason_code="because", **why).status_code == 400
    assert act(api, break_id, "comment", 1).status_code == 400
    assert act(api, break_id, "comment", 1, text="x", owner="me").status_code == 400
    assert [event.action for event in detail(api, break_id).events] == ["opened"]

    done = acted(act(api, break_id, "explain", 1, reason_code=code(database, "explain"), **why))

    assert (done.state, done.close_cause) == ("explained", code(database, "explain"))
    found = api.get("/reconciliation/discrepancies", params={"state": "explained", "limit": 100}).json()["data"]
    assert break_id in {one["break_id"] for row in found for one in row["breaks"]}
    reopened = acted(act(api, break_id, "reopen", 2, text="it came back"))
    assert (reopened.state, reopened.last_event_number) == ("reopened", 3)


def test_a_great_loss_needs_a_second_person(sidecar: Any, api: httpx.Client, database: psycopg.Connection) -> None:
    break_id = open_breaks(database)[-1]
    with sidecar.client("operate") as other:
        proposed = acted(
            act(other, break_id, "write_off", 1, reason_code=code(database, "write_off"), text="lost for good")
        )
        assert (proposed.state, proposed.proposal) == ("open", "write_off")
        refused = act(other, break_id, "approve", 2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")

    assert acted(act(api, break_id, "approve", 2)).state == "written_off"
    assert [event.actor for event in detail(api, break_id).events] == ["system", "operate", "all"]


def test_breaks_of_the_bank_are_worked_by_their_ids_and_belong_to_no_row(
    api: httpx.Client, database: psycopg.Connection
) -> None:
    said = {"reconciliation_id": "bank_line:l", "reason": "missing_provider", "outcome": None, "event_at": None}
    sides = {"vima_transaction_id": None, "vima_amount": None, "bank_line_id": "l", "bank_outcome": "missing_provider"}
    told = evaluation("bank-1", reason_family="bank", severity="medium", **said, **sides)
    system_event(database, "bank-1", "opened", "open", told)

    row = detail(api, "bank-1")

    assert (row.reason, row.reason_family, row.outcome, row.value_at_risk) == ("missing_provider", "bank", None, "500")
    done = acted(act(api, "bank-1", "explain", 1, reason_code="not_a_settlement", text="our own deposit"))
    assert done.state == detail(api, "bank-1").state == "explained"
    found = api.get("/reconciliation/discrepancies", params={"limit": 100}).json()["data"]
    assert "bank-1" not in {one["break_id"] for row in found for one in row["breaks"]}


@pytest.mark.parametrize("action", ["acknowledge", "comment"])
def test_a_break_that_is_not_there_is_told_so(api: httpx.Client, action: str) -> None:
    assert act(api, "no' or 1=1 --", action, 1, text="x").status_code == 404
    assert api.get("/breaks/nothing").status_code == 404


def test_what_cannot_be_asked_changes_nothing(sidecar: Any, api: httpx.Client, database: psycopg.Connection) -> None:
    break_id = open_breaks(database)[0]
    assert act(api, break_id, "forget", 1).status_code == 400
    assert api.post(f"/breaks/{break_id}/comment", json={"text": "x"}).status_code == 400
    assert act(api, break_id, "comment", 0, text="x").status_code == 400
    assert act(api, break_id, "comment", 1, text="x\x00").status_code in (200, 400)
    with sidecar.client("plain") as reader:
        assert act(reader, break_id, "comment", 1, text="x").status_code == 403
