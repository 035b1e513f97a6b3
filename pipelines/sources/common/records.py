"""From a provider's records to one Arrow table per page, the only shape that the loader takes.

    bytes of the page -> list of raw records (bytes kept) -> facts, content hash, contract check -> pyarrow.Table

Grain: one row per record of the page. The payload is the record's own text, byte for byte. A record that breaks the
contract stays in the table with `quarantine_reason`, so that one transaction decides about the whole page.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

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


def _number(text: str) -> Decimal | int:
    """A JSON number by value: 100, 100.0 and 1e2 become the same, nothing passes through float."""
    value = Decimal(text)
    if value.adjusted() < 40 and value == value.to_integral_value():
        return int(value)
    return value.normalize()


_decode = msgspec.json.Decoder(float_hook=_number).decode
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


def parse_payload(raw: bytes | msgspec.Raw) -> Any:
    """A record's JSON with exact numbers. Raises msgspec.DecodeError."""
    return _decode(raw)


def content_hash(payload: Any) -> str:
    """Hash of the canonical form (sorted keys, numbers by value) of a payload already without its volatile fields."""
    return hashlib.blake2b(_canonical(payload), digest_size=16).hexdigest()


def clean_key(value: object) -> str | None:
    """A match key: text, trimmed, NFC, case kept, empty is null. A JSON number becomes its plain digits."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    text = value if isinstance(value, str) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    return unicodedata.normalize("NFC", text).strip() or None


def parse_instant(value: object) -> datetime | None:
    """An ISO 8601 instant; one without a zone is UTC, as both providers document. Raises RecordProblem."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RecordProblem("unparseable_time", f"a time is a {type(value).__name__}")
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise RecordProblem("unparseable_time", "a time is not ISO 8601") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def build_page(records: Sequence[msgspec.Raw | bytes], *, spec: RecordSpec, provenance: Provenance) -> pa.Table:
    """One row per record, good and quarantined alike."""
    columns: dict[str, list[Any]] = {name: [] for name in RECORD_SCHEMA.names}
    for raw in records:
        row = _read(bytes(raw), spec)
        for name in _READ_COLUMNS:
            columns[name].append(row.get(name))
    count = len(records)
    columns["observed_at"] = [provenance.observed_at] * count
    columns["load_mode"] = [provenance.load_mode] * count
    columns["load_scope"] = [provenance.load_scope] * count
    columns["load_page"] = [provenance.load_page] * count
    return pa.table(columns, schema=RECORD_SCHEMA)


_READ_COLUMNS = (
    "record_id",
    "content_hash",
    "order_key",
    "source_order",
    "source_created_at",
    "source_updated_at",
    "payload",
    "quarantine_reason",
    "quarantine_detail",
)


def _read(raw: bytes, spec: RecordSpec) -> Mapping[str, Any]:
    row: dict[str, Any] = {}
    try:
        # PostgreSQL's jsonb holds every text but this one.
        if b"\\u0000" in raw:
            raw = raw.replace(b"\\u0000", b"\\ufffd")
            raise RecordProblem("null_character", "a text holds U+0000, shown as U+FFFD in the kept payload")
        payload = _decode(raw)
        if not isinstance(payload, dict):
            raise RecordProblem("not_an_object", f"the record is a {type(payload).__name__}")
        row["content_hash"] = content_hash(spec.without_volatile(payload))
        row["record_id"] = spec.record_id(payload)
        row["order_key"] = spec.order_key(payload)
        row["source_order"] = spec.source_order(payload)
        if row["record_id"] is None:
            raise RecordProblem("missing_id", "the record has no id")
        row["source_created_at"] = spec.created_at(payload)
        row["source_updated_at"] = spec.updated_at(payload)
        spec.check(payload)
    except RecordProblem as problem:
        row["quarantine_reason"], row["quarantine_detail"] = problem.reason, problem.detail
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        row["quarantine_reason"], row["quarantine_detail"] = "unreadable", "the record is not readable JSON"
    row.setdefault("content_hash", hashlib.blake2b(raw, digest_size=16).hexdigest())
    row["payload"] = raw.decode("utf-8", errors="replace")
    return row
