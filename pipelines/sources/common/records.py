"""From a provider's records to one Arrow table per page, the only shape that the loader takes.

    bytes of the page -> list of raw records (bytes kept) -> facts, content hash, contract check -> pyarrow.Table

Grain: one row per record of the page. The payload is the record's own text, byte for byte. A record that breaks the
contract stays in the table with `quarantine_reason`, so that one transaction decides about the whole page. Its payload
is always JSON that PostgreSQL can hold: as delivered, with U+FFFD for what cannot be stored, or as one JSON text.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.sources.common.json_text import storable_text

_INSTANT = pa.timestamp("us", tz="UTC")

RECORD_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("content_hash", pa.string()),
        ("order_key", pa.string()),
        ("source_order", pa.int64()),
        ("source_created_at", _INSTANT),
        ("source_updated_at", _INSTANT),
        ("payload", pa.string()),
        ("observed_at", _INSTANT),
        ("load_mode", pa.string()),
        ("load_scope", pa.string()),
        ("load_page", pa.int32()),
        ("load_position", pa.int64()),
        ("quarantine_reason", pa.string()),
        ("quarantine_detail", pa.string()),
    ]
)

Payload = dict[str, Any]


class RecordProblem(Exception):
    """A record that cannot be trusted: a short reason code, and a detail without personal data."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSpec:
    """How to read one kind of record. The functions get a parsed payload; `check` raises RecordProblem."""

    table: str
    record_id: Callable[[Payload], str | None]
    order_key: Callable[[Payload], str | None]
    source_order: Callable[[Payload], int | None]
    created_at: Callable[[Payload], datetime | None]
    updated_at: Callable[[Payload], datetime | None]
    without_volatile: Callable[[Payload], Payload]
    check: Callable[[Payload], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a page came from: when it was read (UTC), feed | window | recheck, the cursor or window, the page."""

    observed_at: datetime
    load_mode: str
    load_scope: str
    load_page: int


MAX_KEY_LENGTH = 256
"""Longer keys do not fit into an index, and none of the providers has any."""

MAX_NUMBER_LENGTH = 400
MAX_NUMBER_EXPONENT = 400
_EXACT = Context(prec=2 * MAX_NUMBER_LENGTH)


@lru_cache(maxsize=16_384)
def _number(text: str) -> Decimal | int:
    """A JSON number by value: 100, 100.0 and 1e2 become the same, nothing passes through float or is rounded."""
    # Bounded before it is read: Decimal would take a gigabyte's worth of exponent.
    exponent = text.lower().partition("e")[2].lstrip("+-").lstrip("0")
    if len(text) > MAX_NUMBER_LENGTH or len(exponent) > 3 or int(exponent or 0) > MAX_NUMBER_EXPONENT:
        raise RecordProblem("broken_number", "a number is out of any sensible range")
    value = Decimal(text)
    if value.adjusted() < 40 and value == value.to_integral_value():
        return int(value)
    return value.normalize(_EXACT)


_decode = msgspec.json.Decoder(float_hook=_number).decode
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


def parse_payload(raw: bytes | msgspec.Raw) -> Any:
    """A record's JSON with exact numbers. Raises msgspec.DecodeError."""
    return _decode(raw)


def content_hash(payload: Any) -> str:
    """Hash of the canonical form (sorted keys, numbers by value) of a payload already without its volatile fields."""
    return hashlib.blake2b(_canonical(payload), digest_size=16).hexdigest()


def clean_key(value: object) -> str | None:
    """A match key: text, trimmed, NFC, case kept, empty is null. A JSON number becomes its plain digits.

    Raises RecordProblem when it is longer than any key that can be indexed.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    text = value if isinstance(value, str) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    key = (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()
    if len(key) > MAX_KEY_LENGTH:
        raise RecordProblem("oversized_key", f"an id or key is longer than {MAX_KEY_LENGTH} characters")
    return key or None


def check_words(*values: object) -> None:
    """States, names, currencies and references, which the models group by and index: none longer than a key may be.

    Raises RecordProblem; what is no text counts as the text that it would be read as.
    """
    for value in values:
        if value is None or type(value) is int:
            continue
        if len(value if isinstance(value, str) else str(value)) > MAX_KEY_LENGTH:
            raise RecordProblem(
                "oversized_word", f"a state, name or reference is longer than {MAX_KEY_LENGTH} characters"
            )


# What Python and PostgreSQL read alike: either would accept forms that the other refuses.
_INSTANT_TEXT = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(value: object) -> datetime | None:
    """An ISO 8601 instant; one without a zone is UTC, as both providers document. Raises RecordProblem."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise RecordProblem("unparseable_time", f"a time is a {type(value).__name__}")
    text = value.strip(" ")
    if not text:
        return None
    try:
        return _instant(text)
    except (ValueError, OverflowError):
        raise RecordProblem("unparseable_time", "a time is not ISO 8601") from None


# A record tells most of its times more than once.
@lru_cache(maxsize=1024)
def _instant(text: str) -> datetime:
    if not _INSTANT_TEXT.fullmatch(text):
        raise ValueError(text)
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def build_page(
    records: Sequence[msgspec.Raw | bytes],
    *,
    spec: RecordSpec,
    provenance: Provenance,
    positions: Sequence[int | None] | None = None,
) -> pa.Table:
    """One row per record, good and quarantined alike. `positions` are the cursor values to go on from after each."""
    count = len(records)
    read = zip(*(_read(bytes(raw), spec) for raw in records), strict=True) if count else ((),) * len(_READ_COLUMNS)
    columns: dict[str, Any] = dict(zip(_READ_COLUMNS, read, strict=True))
    for name in ("observed_at", "load_mode", "load_scope", "load_page"):
        columns[name] = pa.repeat(pa.scalar(getattr(provenance, name), RECORD_SCHEMA.field(name).type), count)
    columns["load_position"] = [None] * count if positions is None else list(positions)
    return pa.table(columns, schema=RECORD_SCHEMA)


_READ_COLUMNS = (
    "content_hash",
    "payload",
    "record_id",
    "order_key",
    "source_order",
    "source_created_at",
    "source_updated_at",
    "quarantine_reason",
    "quarantine_detail",
)
_NO_FACTS = (None,) * 5
_facts_of: Callable[[RecordSpec], tuple[Callable[[Payload], Any], ...]] = attrgetter(
    "record_id", "order_key", "source_order", "created_at", "updated_at"
)
"""What reads them, in the order of _READ_COLUMNS."""


def _read(raw: bytes, spec: RecordSpec) -> tuple[Any, ...]:
    """The record's values of _READ_COLUMNS."""
    text = storable_text(raw)
    digest: str | None = None
    shown: bytes | str | None = None
    facts: tuple[Any, ...] = _NO_FACTS
    reason = detail = None
    try:
        payload = _decode(text)
        shown = text
        digest = content_hash(spec.without_volatile(payload) if isinstance(payload, dict) else payload)
        facts, problem = _judged(payload, spec)
        if problem is None and text is not raw:
            problem = RecordProblem("unstorable_text", "U+0000, half a character or deep nesting, shown as U+FFFD")
        if problem is not None:
            reason, detail = problem.reason, problem.detail
    except RecordProblem as problem:
        reason, detail = problem.reason, problem.detail
    except (msgspec.MsgspecError, ArithmeticError, RecursionError):
        reason, detail = "unreadable", "the record is not readable JSON"
    if digest is None:
        digest = hashlib.blake2b(raw, digest_size=16).hexdigest()
    if shown is None:
        shown = json.dumps(text.decode().replace("\0", "\ufffd"))
    return (digest, shown, *facts, reason, detail)


def _judged(payload: object, spec: RecordSpec) -> tuple[tuple[Any, ...], RecordProblem | None]:
    """Every fact that can be read, and the first problem: what is known helps even in quarantine."""
    if not isinstance(payload, dict):
        return _NO_FACTS, RecordProblem("not_an_object", f"the record is a {type(payload).__name__}")
    try:
        facts = tuple([read(payload) for read in _facts_of(spec)])
        if facts[0] is None:
            return facts, RecordProblem("missing_id", "the record has no id")
    except RecordProblem as problem:
        return _what_can_be_read(payload, spec), problem
    try:
        spec.check(payload)
    except RecordProblem as problem:
        return facts, problem
    return facts, None


def _what_can_be_read(payload: Payload, spec: RecordSpec) -> tuple[Any, ...]:
    facts: list[Any] = []
    for read in _facts_of(spec):
        try:
            facts.append(read(payload))
        except RecordProblem:
            facts.append(None)
    return tuple(facts)
