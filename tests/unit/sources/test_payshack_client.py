"""PayShack's answers: opened, judged, and never repeated in an error; a refused session is renewed once."""

import json
from typing import Any

import pytest

from pipelines.core.errors import (
    PlatformError,
    SourceAuthError,
    SourceContractError,
    SourceUnavailable,
)
from pipelines.sandbox.payshack_envelope import Envelope, seal
from pipelines.sources.payshack.client import DIRECTORIES, LISTINGS, PayShackClient
from pipelines.sources.payshack.portal import Session
from tests.unit.sources.payshack_in_memory import ACCESS, SECRET, PayShack, session, transaction

TELLTALE = "TELLTALE-7781"


def test_every_request_carries_the_session_and_the_resellers_own_id() -> None:
    payshack = PayShack([transaction(1)])
    payshack.client().listing("payin", page=1)
    path, params, headers = payshack.asked[0]
    assert path == LISTINGS["payin"]
    assert params == {"page": 1, "limit": 100}
    assert headers["Authorization"] == "Bearer invented-token-0"
    assert headers["reseller-id"] == "R1"
    assert headers["Cookie"] == "sid=invented-cookie"
    assert headers["User-Agent"] == "Chromium"


@pytest.mark.parametrize("envelope", ["plain", "passphrase", "merchant"])
def test_each_answer_is_opened_as_it_comes(envelope: Envelope) -> None:
    payshack = PayShack([transaction(1)])
    payshack.answer = lambda body: seal(
        json.loads(body)["data"], envelope=envelope, request="x", secret=SECRET, iv=ACCESS.response_iv
    )
    listing = payshack.client().listing("payin", page=1)
    assert listing.total_records == 1
    assert json.loads(bytes(listing.transactions[0]))["txnId"] == "T000001"


def test_one_record_that_cannot_be_stored_does_not_take_the_page_with_it() -> None:
    payshack = PayShack([transaction(1), transaction(2, payerName="cut \ud83d")])
    assert len(payshack.client().listing("payin", page=1).transactions) == 2


@pytest.mark.parametrize("status", [401, 403, "401"])
@pytest.mark.parametrize("form", ["http", "inside"])
def test_a_refused_session_is_renewed_once_and_the_request_asked_again(status: Any, form: str) -> None:
    payshack = PayShack([transaction(1)])

    def refuse(body: bytes) -> bytes:
        if payshack.asked[-1][2]["Authorization"] != "Bearer invented-token-0":
            return body
        if form == "http":
            raise SourceAuthError("PayShack refused the credentials.")
        return json.dumps({"success": False, "statusCode": status, "message": TELLTALE, "data": None}).encode()

    payshack.answer = refuse
    client = payshack.client()
    assert client.listing("payin", page=1).total_records == 1
    client.listing("payin", page=1)
    assert payshack.renewed == 1
    assert len(payshack.asked) == 3


def test_a_second_refusal_is_final_and_says_what_to_look_at() -> None:
    payshack = PayShack([])

    def refuse(body: bytes) -> bytes:
        raise SourceAuthError("PayShack refused the credentials.")

    payshack.answer = refuse
    with pytest.raises(SourceAuthError, match=f"refuses {LISTINGS['payin']} right after a new login.*lack the right"):
        payshack.client().listing("payin", page=1)
    assert payshack.renewed == 1
    assert len(payshack.asked) == 2


def test_a_refused_renewal_is_what_is_told() -> None:
    payshack = PayShack([])

    def refuse(body: bytes) -> bytes:
        raise SourceAuthError("PayShack refused the credentials.")

    def cooling(refused: Session) -> Session:
        raise SourceAuthError("no login is tried before 12:00 UTC.")

    payshack.answer = refuse
    client = PayShackClient(ACCESS, payshack, session(), payshack.client().cipher, cooling)
    with pytest.raises(SourceAuthError, match="no login is tried"):
        client.listing("payin", page=1)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ({"success": False, "statusCode": 400, "message": TELLTALE}, SourceContractError, "refused"),
        ({"success": False, "message": TELLTALE}, SourceContractError, "status unknown"),
        ({"success": False, "statusCode": 429}, SourceUnavailable, "status 429"),
        ({"success": False, "statusCode": 503}, SourceUnavailable, "status 503"),
        ({"success": True, "data": None}, SourceContractError, "neither records nor text"),
        ({"success": True, "data": 5}, SourceContractError, "neither records nor text"),
        ({"success": True}, SourceContractError, "neither records nor text"),
        ({"success": True, "data": {"rows": [TELLTALE]}}, SourceContractError, "not of the known shape"),
        ({"success": True, "data": {"transactions": None, "totalRecords": 1}}, SourceContractError, "known shape"),
        ({"success": True, "data": {"transactions": []}}, SourceContractError, "known shape"),
        ({"success": "maybe"}, SourceContractError, "known shape"),
        ([TELLTALE], SourceContractError, "known shape"),
    ],
)
def test_an_answer_of_another_shape_is_a_clear_error_without_its_content(
    answer: Any, kind: type[PlatformError], says: str
) -> None:
    payshack = PayShack([])
    payshack.answer = lambda body: json.dumps(answer).encode()
    with pytest.raises(kind, match=says) as caught:
        payshack.client().listing("payin", page=1)
    assert LISTINGS["payin"] in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert TELLTALE not in str(caught.value)
    assert payshack.renewed == 0


@pytest.mark.parametrize("wrapped", [False, True])
def test_directories_come_bare_or_wrapped(wrapped: bool) -> None:
    payshack = PayShack([])
    rows = [{"clientId": f"C{number}"} for number in range(3)]
    payshack.directories["clients"] = {"clients": rows, "totalRecords": 3} if wrapped else rows
    assert len(payshack.client().directory("clients")) == 3


def test_a_part_of_a_directory_does_not_pass_for_all_of_it() -> None:
    payshack = PayShack([])
    payshack.directories["clients"] = {"clients": [{"clientId": "C1"}], "totalRecords": 250}
    with pytest.raises(SourceContractError, match=f"sent 1 of 250 records from {DIRECTORIES['clients']}"):
        payshack.client().directory("clients")


@pytest.mark.parametrize("answer", [{}, {"a": 1}, "text", 5])
def test_a_directory_of_another_shape_is_a_clear_error(answer: Any) -> None:
    payshack = PayShack([])
    payshack.directories["clients"] = answer
    with pytest.raises(PlatformError) as caught:
        payshack.client().directory("clients")
    assert DIRECTORIES["clients"] in str(caught.value)
