"""What is read is what the marts hold: every filter, every page, every digit, whatever is thrown at it."""

from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.core.settings import load_settings
from pipelines.sidecar.answers import Answer, ErrorAnswer, Listing
from pipelines.sidecar.app import create_app
from pipelines.sidecar.routes.sync import SyncState
from pipelines.sidecar.routes.transactions import TransactionDetail
from pipelines.sidecar.shapes import Discrepant, Transaction
from tests.integration.sidecar.conftest import eventually

HOSTILE = [
    "' or 1=1 --",
    "'; drop table marts.fct_transactions; --",
    '" union select 1',
    "%(limit)s",
    "%s %% {}",
    "\\'; select pg_sleep(5)--",
    "vima:1' and '1'='1",
    "${jndi:ldap://127.0.0.1}",
    "<script>",
    "‮ORD",
]


def listing(api: httpx.Client, path: str = "/transactions", **parameters: Any) -> list[dict[str, Any]]:
    """All rows over all pages."""
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        answer = api.get(path, params={"limit": 100, **parameters, "page": page})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        rows += body["data"]
        if page >= body["meta"]["total_pages"]:
            assert len(rows) == body["meta"]["total"]
            return rows
        page += 1


@pytest.mark.parametrize(
    ("parameters", "condition"),
    [
        ({}, "true"),
        ({"source": "vima"}, "source = 'vima'"),
        ({"source": ["vima", "payshack"]}, "true"),
        ({"project": "monetix"}, "project = 'monetix'"),
        ({"status": "failed"}, "status = 'failed'"),
        ({"status": ["failed", "pending"]}, "status in ('failed', 'pending')"),
        ({"flow": "payout"}, "flow = 'payout'"),
        ({"currency": "INR"}, "currency = 'INR'"),
        ({"currency": "USD"}, "false"),
        ({"payment_method": "UPI_INTENT"}, "payment_method = 'UPI_INTENT'"),
        ({"from_date": "2026-01-18"}, "business_date >= '2026-01-18'"),
        ({"to_date": "2026-01-18"}, "business_date <= '2026-01-18'"),
        ({"from_date": "2026-01-18", "to_date": "2026-01-18"}, "business_date = '2026-01-18'"),
        (
            {"source": "vima", "status": "success", "flow": "payin", "from_date": "2026-01-17"},
            "source = 'vima' and status = 'success' and flow = 'payin' and business_date >= '2026-01-17'",
        ),
        ({"search": "ORD00012"}, "order_key = 'ORD00012'"),
        ({"search": " ORD00012 "}, "order_key = 'ORD00012'"),
        ({"search": "000000000013"}, "utr = '000000000013'"),
        ({"search": "T00013"}, "source_txn_id = 'T00013'"),
        ({"search": "payshack:payin:T00013"}, "transaction_id = 'payshack:payin:T00013'"),
        ({"search": "ord00012"}, "false"),
    ],
)
def test_each_filter_finds_what_it_says(
    api: httpx.Client, database: psycopg.Connection, parameters: dict[str, Any], condition: str
) -> None:
    expected = database.execute(
        sql.SQL("select transaction_id from marts.fct_transactions where {}").format(sql.SQL(condition))
    ).fetchall()

    found = listing(api, **parameters)

    assert sorted(row["transaction_id"] for row in found) == sorted(row[0] for row in expected)


def test_rows_are_the_marts_rows_to_the_last_digit(api: httpx.Client, database: psycopg.Connection) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in Transaction.model_fields)
    with database.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(sql.SQL("select {} from marts.fct_transactions").format(columns)).fetchall()
    expected = {row["transaction_id"]: row for row in rows}

    for row in listing(api):
        wanted = expected.pop(row["transaction_id"])
        for name in ("amount", "requested_amount", "fee"):
            assert row[name] is None or isinstance(row[name], str)
            assert (Decimal(row[name]) if row[name] is not None else None) == wanted[name]
        assert Transaction.model_validate(row).model_dump(exclude={"amount", "requested_amount", "fee"}) == {
            name: value for name, value in wanted.items() if name not in ("amount", "requested_amount", "fee")
        }
    assert not expected


def test_a_large_amount_keeps_all_its_digits(api: httpx.Client) -> None:
    assert [row["amount"] for row in listing(api, search="ORD00021", source="vima")] == ["123456789012345.67"]


def test_answers_have_the_shape_that_the_docs_promise(api: httpx.Client) -> None:
    Listing[Transaction].model_validate_json(api.get("/transactions").content)
    Listing[Discrepant].model_validate_json(api.get("/reconciliation/discrepancies").content)
    Answer[SyncState].model_validate_json(api.get("/sync/status").content)
    Answer[TransactionDetail].model_validate_json(api.get("/transactions/payshack:payin:T00013").content)
    ErrorAnswer.model_validate_json(api.get("/transactions/none").content)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("key", ["created_at", "updated_at", "business_date", "amount", "status", "project", "source"])
def test_pages_hold_every_row_once_in_order(api: httpx.Client, key: str, order: str) -> None:
    rows = listing(api, sort_by=key, order=order, limit=37)

    assert len({row["transaction_id"] for row in rows}) == len(rows) == 387
    values = [(Decimal(row[key]) if key == "amount" else row[key], row["transaction_id"]) for row in rows]
    assert values == sorted(values, reverse=order == "desc")


def test_every_answer_says_how_fresh_it_is(api: httpx.Client) -> None:
    for path in ("/transactions", "/metrics/overview", "/sync/status", "/reconciliation/summary", "/health"):
        meta = api.get(path).json()["meta"]
        assert (meta["as_of"], meta["stale"]) == ("2026-01-20T11:58:30Z", False)


def test_a_total_follows_the_mart(api: httpx.Client, database: psycopg.Connection) -> None:
    def total() -> int:
        return int(api.get("/transactions", params={"search": "ORD00013"}).json()["meta"]["total"])

    assert (total(), total()) == (2, 2)
    database.execute(
        "begin;"
        " create temp table extra as"
        " select * from marts.fct_transactions where transaction_id = 'payshack:payin:T00013';"
        " update extra set transaction_id = 'payshack:payin:extra', changed_xid = pg_current_xact_id()::text::bigint;"
        " insert into marts.fct_transactions select * from extra;"
        " notify psp_marts; commit"
    )
    try:
        eventually(lambda: (total(), total()) == (3, 3))
    finally:
        database.execute(
            "begin; delete from marts.fct_transactions where transaction_id = 'payshack:payin:extra';"
            " notify psp_marts; commit"
        )
    eventually(lambda: total() == 2)


def test_a_page_beyond_the_end_is_empty_and_counts_right(api: httpx.Client) -> None:
    body = api.get("/transactions", params={"page": 10_000_000, "limit": 100}).json()

    assert body["data"] == []
    assert (body["meta"]["total"], body["meta"]["total_pages"], body["meta"]["page"]) == (387, 4, 10_000_000)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"page": 0}, "page"),
        ({"page": -1}, "page"),
        ({"page": "9" * 40}, "page"),
        ({"page": "1e3"}, "page"),
        ({"limit": 101}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"sort_by": "payload"}, "sort_by"),
        ({"sort_by": "amount; drop table x"}, "sort_by"),
        ({"order": "sideways"}, "order"),
        ({"status": "won"}, "status.0"),
        ({"source": "VIMA"}, "source.0"),
        ({"from_date": "yesterday"}, "from_date"),
        ({"from_date": "2026-02-30"}, "from_date"),
        ({"search": ""}, "search"),
        ({"search": "a\x00b"}, "search"),
        ({"search": "x" * 1000}, "search"),
        ({"form_date": "2026-01-01"}, "form_date"),
    ],
)
def test_a_wrong_parameter_is_named(api: httpx.Client, parameters: dict[str, Any], field: str) -> None:
    response = api.get("/transactions", params=parameters)

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [item["field"] for item in error["details"]["fields"]] == [field]


def test_dates_the_wrong_way_round_are_told(api: httpx.Client) -> None:
    response = api.get("/transactions", params={"from_date": "2026-01-20", "to_date": "2026-01-19"})

    assert response.status_code == 400
    assert "from_date is after to_date" in response.json()["error"]["message"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["search", "project", "currency", "payment_method"])
def test_hostile_text_finds_nothing_and_breaks_nothing(api: httpx.Client, name: str, text: str) -> None:
    response = api.get("/transactions", params={name: text})

    assert (response.status_code, response.json()["data"]) == (200, [])


@pytest.mark.parametrize("text", [*HOSTILE, "a" * 300, "%00", "%F0%28"])
def test_a_hostile_id_is_not_found(api: httpx.Client, text: str) -> None:
    response = api.get(f"/transactions/{text}")

    assert response.status_code in (400, 404)
    assert "select" not in response.text.lower().replace(text.lower(), "")


OPERATIONS = {
    path.removeprefix("/api/v1"): methods["get"]
    for path, methods in create_app(load_settings({})).openapi()["paths"].items()
    if "get" in methods and "{" not in path and not path.endswith(("/health", "/status"))
}
READS = sorted(OPERATIONS)
PARAMETERS = sorted({item["name"] for found in OPERATIONS.values() for item in found["parameters"]})

anything = st.text(max_size=60) | st.integers().map(str) | st.dates().map(str) | st.floats().map(str)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(READS),
    parameters=st.dictionaries(
        st.sampled_from(PARAMETERS),
        anything,
        max_size=4,
    ),
)
def test_no_parameters_bring_it_down(api: httpx.Client, path: str, parameters: dict[str, str]) -> None:
    try:
        response = api.get(path, params=parameters)
    except (UnicodeEncodeError, httpx.InvalidURL):
        return  # cannot be sent
    assert response.status_code in (200, 400), (path, parameters, response.text)
    if response.status_code == 400:
        ErrorAnswer.model_validate_json(response.content)


def test_one_transaction_comes_with_both_sides(api: httpx.Client) -> None:
    data = api.get("/transactions/payshack:payin:T00026").json()["data"]

    vima = f"vima:{2**61 + 26}"
    assert data["transaction_id"] == "payshack:payin:T00026"
    assert data["reconciliation"]["outcome"] == "discrepancy_amount"
    assert data["reconciliation"]["vima_transaction_id"] == vima
    assert {(entry["transaction_id"], entry["version_number"]) for entry in data["timeline"]} == {
        (vima, 1),
        (vima, 2),
        ("payshack:payin:T00026", 1),
    }
    instants = [entry["updated_at"] for entry in data["timeline"]]
    assert instants == sorted(instants)


def test_a_transaction_that_is_not_reconciled_has_its_own_history_only(api: httpx.Client) -> None:
    data = api.get(f"/transactions/vima:{2**61 + 6}").json()["data"]

    assert data["project"] == "monetix"
    assert data["reconciliation"] is None
    assert {entry["transaction_id"] for entry in data["timeline"]} == {data["transaction_id"]}


def test_personal_data_is_masked_without_the_scope(sidecar: Any, database: psycopg.Connection) -> None:
    path = f"/transactions/vima:{2**61 + 13}"
    before = database.execute("select count(*) from ops.reveals").fetchone()
    with sidecar.client("plain") as client:
        response = client.get(path)

    data = response.json()["data"]
    assert data["raw_data_masked"] is True
    assert data["raw_data"]["contact"] == "***"
    assert data["raw_data"]["create_params"]["params"]["payment"]["payer"] == {
        "email": "***",
        "phone": "***",
        "person": {"first_name": "***", "last_name": "***"},
    }
    assert data["raw_data"]["operation_id"] == str(2**61 + 13)
    assert "payer@example.com" not in response.text
    assert database.execute("select count(*) from ops.reveals").fetchone() == before


def test_personal_data_is_shown_with_the_scope_and_written_down(sidecar: Any, database: psycopg.Connection) -> None:
    transaction = f"vima:{2**61 + 13}"
    with sidecar.client("all") as client:
        data = client.get(f"/transactions/{transaction}").json()["data"]

    assert (data["raw_data_masked"], data["raw_data"]["contact"]) == (False, "payer@example.com")
    last = database.execute("select actor, transaction_id from ops.reveals order by reveal_id desc limit 1").fetchone()
    assert last == ("all", transaction)


def test_a_field_that_nobody_reviewed_is_masked(database: psycopg.Connection) -> None:
    payload = '{"txnId": "T1", "newField": "a secret", "amount": 10.50, "nested": {"amount": 1}, "list": [1, null, {}]}'

    row = database.execute("select ops.masked('payshack', %s::jsonb)::text", (payload,)).fetchone()

    assert row == (
        '{"list": ["***", null, {}], "txnId": "T1", "amount": 10.50, "nested": {"amount": "***"}, "newField": "***"}',
    )


@pytest.mark.parametrize(
    ("parameters", "condition"),
    [
        ({}, "true"),
        ({"type": "discrepancy_amount"}, "outcome = 'discrepancy_amount'"),
        ({"type": ["missing_vima", "missing_payshack"]}, "outcome like 'missing%%'"),
        ({"severity": "critical"}, "severity = 'critical'"),
        ({"project": "91game", "flow": "payin"}, "project = '91game' and flow = 'payin'"),
        ({"from_date": "2026-01-18", "to_date": "2026-01-19"}, "business_date between '2026-01-18' and '2026-01-19'"),
    ],
)
@pytest.mark.parametrize("key", ["business_date", "exposure"])
def test_discrepancies_are_what_disagrees(
    api: httpx.Client, database: psycopg.Connection, parameters: dict[str, Any], condition: str, key: str
) -> None:
    expected = database.execute(
        sql.SQL(
            "select reconciliation_id from marts.fct_reconciliation"
            " where comparability = 'comparable' and outcome <> 'matched' and {}"
        ).format(sql.SQL(condition.replace("%%", "%")))
    ).fetchall()

    found = listing(api, "/reconciliation/discrepancies", sort_by=key, limit=9, **parameters)

    assert sorted(row["reconciliation_id"] for row in found) == sorted(row[0] for row in expected)
    assert len(found) == len({row["reconciliation_id"] for row in found})


def test_matched_is_no_type_of_discrepancy(api: httpx.Client) -> None:
    assert api.get("/reconciliation/discrepancies", params={"type": "matched"}).status_code == 400


def test_sync_status_tells_the_newest_load(api: httpx.Client) -> None:
    sources = api.get("/sync/status").json()["data"]["sources"]

    assert [(item["source"], item["flow"]) for item in sources] == [
        ("payshack", "payin"),
        ("payshack", "payout"),
        ("vima", "payin"),
        ("vima", "payout"),
    ]
    assert sources[2] == {
        "source": "vima",
        "flow": "payin",
        "status": "idle",
        "last_sync_at": "2026-01-20T11:59:30Z",
        "last_successful_sync": "2026-01-20T11:59:40Z",
        "records_synced": 240,
        "next_sync_at": "2026-01-20T12:00:30Z",
        "watermark": "2026-01-20T11:59:00Z",
        "lag_seconds": 60.0,
        "error_message": None,
        "last_cursor": "9007199254740993",
    }
