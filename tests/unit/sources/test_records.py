"""From a provider's bytes to rows: payloads stay as written, one bad record stays alone, hashes follow the meaning."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.common.json_text import MAX_DEPTH, decode, storable_text
from pipelines.sources.common.records import (
    MAX_KEY_LENGTH,
    RECORD_SCHEMA,
    Provenance,
    RecordProblem,
    build_page,
    clean_key,
    content_hash,
    microseconds,
    parse_instant,
    parse_payload,
)
from pipelines.sources.vima.schema import OPERATIONS

AT = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SEEN = Provenance(observed_at=AT, load_mode="feed", load_scope="operation_update_id>6", load_page=3)
GOOD = b'{"operation_id":"1","client_operation_id":"17","operation_update_id":"7"}'
PAGE = msgspec.json.Decoder(list[msgspec.Raw])

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(max_size=20)
payloads = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_size=6,
)


def rows(*records: bytes) -> list[dict[str, Any]]:
    """What becomes of a page that holds a good record and these."""
    page = b"[" + b",".join([GOOD, *records]) + b"]"
    table = build_page(decode(PAGE, page), spec=OPERATIONS, provenance=SEEN)
    assert table.schema == RECORD_SCHEMA
    found: list[dict[str, Any]] = table.to_pylist()
    assert found[0]["quarantine_reason"] is None
    assert found[0]["record_id"] == "1"
    return found[1:]


def record(**fields: Any) -> bytes:
    return json.dumps({"operation_id": "2", "client_operation_id": "18", "operation_update_id": "8"} | fields).encode()


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in sorted(value, reverse=True)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(payload=payloads)
def test_the_hash_does_not_see_the_order_of_keys_or_blanks(payload: dict[str, Any]) -> None:
    written = json.dumps(payload).encode()
    again = json.dumps(shuffled(payload), indent=3, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        first, second = parse_payload(written), parse_payload(again)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # half a surrogate pair: no JSON text, see below
    assert content_hash(first) == content_hash(second)


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20))
def test_the_hash_sees_a_number_by_its_value(number: Decimal) -> None:
    forms = {f"{number:f}", f"{number:E}", f"{number:f}000"}
    assert len({content_hash(parse_payload(f'{{"a":{form}}}'.encode())) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":0.1234567890123456789012345678901}', b'{"a":0.1234567890123456789012345678902}'),
        (b'{"a":12345678901234567890123456789012345678901}', b'{"a":12345678901234567890123456789012345678902}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":"e\\u0301"}', b'{"a":"\\u00e9"}'),
    ],
)
def test_the_hash_tells_different_records_apart(one: bytes, other: bytes) -> None:
    assert content_hash(parse_payload(one)) != content_hash(parse_payload(other))


def test_the_payload_is_kept_letter_for_letter() -> None:
    raw = b'{ "operation_update_id":"8","amount":100.50000000, "operation_id":"2","n":"\\u00e9\xc3\xa9 \\"" }'
    row = rows(raw)[0]
    assert row["payload"].encode() == raw
    assert row["quarantine_reason"] is None


def test_facts_and_provenance_are_in_every_row() -> None:
    row = rows(record(operation_created_at="2026-01-15T15:46:20.195Z", operation_modified_at="2026-01-15 15:46:46.487"))
    assert row[0] | {"payload": "", "content_hash": ""} == {
        "record_id": "2",
        "content_hash": "",
        "order_key": "18",
        "source_order": 8,
        "source_created_at": datetime(2026, 1, 15, 15, 46, 20, 195000, UTC),
        "source_updated_at": datetime(2026, 1, 15, 15, 46, 46, 487000, UTC),
        "payload": "",
        "observed_at": AT,
        "load_mode": "feed",
        "load_scope": "operation_update_id>6",
        "load_page": 3,
        "load_position": None,
        "quarantine_reason": None,
        "quarantine_detail": None,
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"operation_update_id":"8"}', "missing_id"),
        (record(operation_id=""), "missing_id"),
        (record(operation_id="x" * (MAX_KEY_LENGTH + 1)), "oversized_key"),
        (record(client_operation_id="x" * (MAX_KEY_LENGTH + 1)), "oversized_key"),
        (record(project="x" * (MAX_KEY_LENGTH + 1)), "oversized_word"),
        (record(payment_custom_data={"utr": ["x" * MAX_KEY_LENGTH]}), "oversized_word"),
        (record(operation_created_at="yesterday"), "unparseable_time"),
        (record(operation_created_at=1768491980195), "unparseable_time"),
        (record(operation_update_id=None), "missing_order"),
        (b'{"operation_id":"2","operation_update_id":"8","n":1e999999}', "broken_number"),
        (b'{"operation_id":"2","operation_update_id":"8","n":1e99999999999999999999}', "broken_number"),
        (b'{"operation_id":"2","operation_update_id":"8","n":0.' + b"1" * 500 + b"}", "broken_number"),
        (b'{"operation_id":"2","operation_update_id":"8","n":' + b"9" * 5000 + b"}", "unreadable"),
        (b'{"operation_id":"2","operation_update_id":"8","n":"\\u0000"}', "unstorable_text"),
        (b'{"operation_id":"2","operation_update_id":"8","n":"cut \\ud83d"}', "unstorable_text"),
        (b'{"operation_id":"2","operation_update_id":"8","n":"\\ude00 cut"}', "unstorable_text"),
        (b'{"operation_id":"2","operation_update_id":"8","n":"\xff"}', "unstorable_text"),
        (b'{"operation_id":"2","operation_update_id":"8","n":"a\nb"}', "unstorable_text"),
        (b'{"operation_id":"2","operation_update_id":"8","n":' + b"[" * 80 + b"]" * 80 + b"}", "unstorable_text"),
        (
            b'{"operation_id":"2","operation_update_id":"8","n":' + b'{"a":' * 9000 + b"1" + b"}" * 9001,
            "unstorable_text",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_that_cannot_be_trusted_stays_alone_and_says_why(raw: bytes, reason: str) -> None:
    row = rows(raw)[0]
    assert row["quarantine_reason"] == reason
    assert row["quarantine_detail"]
    assert row["content_hash"]
    # Whatever it was, PostgreSQL can hold what is kept of it.
    json.loads(row["payload"])
    assert "\\u0000" not in row["payload"]


def test_what_can_be_read_of_a_bad_record_is_kept() -> None:
    row = rows(record(operation_created_at="yesterday", name="cut \ud83d"))[0]
    assert (row["record_id"], row["order_key"], row["source_order"]) == ("2", "18", 8)


def test_a_detail_quotes_nothing_of_the_record() -> None:
    row = rows(record(complete_amount="TELLTALE", operation_created_at="TELLTALE"))[0]
    assert "TELLTALE" not in row["quarantine_detail"]


@pytest.mark.parametrize(
    "text", [b'"\\\\u0000"', b'"\\\\ud83d"', b'"\\ud83d\\ude00"', b'"\xf0\x9f\x98\x80"', b'"plain"']
)
def test_text_that_only_looks_unstorable_is_left_as_it_is(text: bytes) -> None:
    raw = b'{"operation_id":"2","operation_update_id":"8","n":' + text + b"}"
    assert storable_text(raw) is raw
    assert rows(raw)[0]["quarantine_reason"] is None


@given(text=st.text(alphabet=st.characters(codec=None), max_size=30), depth=st.integers(1, 2 * MAX_DEPTH))
def test_what_is_kept_can_always_be_stored(text: str, depth: int) -> None:
    raw = b'{"t":' + json.dumps(text).encode() + b',"d":' + b"[" * depth + b"]" * depth + b"}"
    stored = storable_text(raw)
    value = json.loads(stored.decode())
    assert "\0" not in value["t"]
    value["t"].encode()  # no half surrogate pair


@pytest.mark.parametrize("body", [b"", b"[", b'[{"a":1', b"[1,]", b"{}", b'"x"', b"[" * 100_000, b"nonsense"])
def test_a_page_that_is_no_list_is_an_error_and_not_an_accident(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(PAGE, body)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("  AbC ", "AbC"),
        ("", None),
        (" \t", None),
        (None, None),
        (True, None),
        ([], None),
        (1700000000001, "1700000000001"),
        (parse_payload(b"1700000000001.0"), "1700000000001"),
        (parse_payload(b"1.7e12"), "1700000000000"),
        (Decimal("1.50"), "1.50"),
        ("e\u0301", "\u00e9"),
        ("0042", "0042"),
    ],
)
def test_match_keys_are_trimmed_composed_and_never_folded(value: object, key: str | None) -> None:
    assert clean_key(value) == key


@given(value=st.text(max_size=60))
def test_cleaning_a_key_twice_changes_nothing(value: str) -> None:
    key = clean_key(value)
    assert clean_key(key) == key


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-15T15:46:20.195Z", datetime(2026, 1, 15, 15, 46, 20, 195000, UTC)),
        ("2026-01-15 15:46:20.195000", datetime(2026, 1, 15, 15, 46, 20, 195000, UTC)),
        ("2026-01-15T21:16:20+05:30", datetime(2026, 1, 15, 15, 46, 20, tzinfo=UTC)),
        ("2026-01-15T15:46:20+0000", datetime(2026, 1, 15, 15, 46, 20, tzinfo=UTC)),
        ("2026-01-15T15:46", datetime(2026, 1, 15, 15, 46, tzinfo=UTC)),
        ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
        (" 2026-01-15T15:46:20Z ", datetime(2026, 1, 15, 15, 46, 20, tzinfo=UTC)),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_instants_are_utc(text: object, instant: datetime | None) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2026-W03-4",  # Python reads it, PostgreSQL does not
        "20260115T154620",
        "2026-01-15x15:46:20",
        "2026-01-15T15:46:20+18:00",
        "2026-01-15T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+05:30",
        "٢٠٢٦-01-15T15:46:20Z",
        "now",
        "infinity",
        1768491980,
        Decimal("1.5"),
        True,
        ["2026-01-15"],
    ],
)
def test_what_is_no_instant_is_refused(text: object) -> None:
    with pytest.raises(RecordProblem) as caught:
        parse_instant(text)
    assert caught.value.reason == "unparseable_time"


@given(instant=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_microseconds_are_exact(instant: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(instant)) == instant


def test_an_empty_page_is_an_empty_table() -> None:
    assert build_page([], spec=OPERATIONS, provenance=SEEN).num_rows == 0
