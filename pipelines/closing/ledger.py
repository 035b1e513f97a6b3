"""The closes: signing a day, the chain of signatures, and what a signed report says.

    marts at rest -> report -> closing.signed_lines, closing.day_closes     one transaction
    close_hash = sha256(close, with report_hash and the close_hash before it)

Grain of a close: one per business date and kind. Nothing here updates or deletes.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import class_row

from pipelines.closing.calendar import Kind, closes_at, ends_at
from pipelines.closing.readiness import is_at_rest
from pipelines.closing.report import Basis, Line, canonical_instant, canonical_json, read_report, report_hash
from pipelines.closing.rule_book import RuleBook
from pipelines.core.errors import ClosingError, ConflictError, DatabaseError
from pipelines.core.postgres import TRANSFORMER, advisory_key, connect

LOCK_WAIT_SECONDS = 900
FIRST_HASH = "0" * 64


class NotAtRest(ClosingError):
    """The marts do not say yet what the raw log says; a run of the models mends that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """A signed day, as closing.day_closes has it."""

    close_number: int
    business_date: date
    kind: Kind
    closed_at: datetime
    closed_by: str
    as_known_at: datetime
    known_snapshot: str
    rule_version: str
    business_timezone: str
    watermarks: dict[str, str]
    open_quarantine: list[int]
    line_count: int
    report_hash: str
    previous_hash: str
    close_hash: str

    def computed_hash(self) -> str:
        """What close_hash must be."""
        covered = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "close_hash"}
        plain = {
            name: canonical_instant(value)
            if isinstance(value, datetime)
            else value.isoformat()
            if isinstance(value, date)
            else value
            for name, value in covered.items()
        }
        return hashlib.sha256(canonical_json(plain).encode()).hexdigest()


_COLUMNS = ", ".join(field.name for field in fields(Close))


def sign(
    url: str, *, day: date, kind: Kind, by: str, now: datetime, zone: ZoneInfo, rules: RuleBook
) -> tuple[Close, list[Line]]:
    """Close `day` from the marts as they are; `now` is the platform's clock.

    Raises NotAtRest when the models have to run first, ClosingError when the day may not be closed, ConflictError when
    it is closed already or a run of the models does not end.
    """
    if now < closes_at(day, kind, zone):
        raise ClosingError(
            f"{day} may be closed as {kind} from {closes_at(day, kind, zone):%Y-%m-%d %H:%M %Z}.",
            fix="wait until then: until 72 hours have passed a failed payment can still become a success"
            if kind == "final"
            else "wait until then",
        )
    with _models_at_rest(url), connect(url, role=TRANSFORMER, application="psp-close") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        _refuse_second(connection, day, kind)
        _require_rules(connection, rules)
        if not is_at_rest(connection, now):
            raise NotAtRest("The marts are behind the raw log.", fix="run `psp sync all`, then close the day again")
        watermarks = _watermarks(connection)
        _require_complete(watermarks, day, kind, zone)
        basis = Basis(
            business_date=day,
            business_timezone=zone.key,
            as_known_at=now,
            rule_version=rules.version,
            watermarks=watermarks,
        )
        lines = read_report(connection, basis)
        _require_no_residual(connection, day)
        return _write(connection, basis, kind, by, lines, rules), lines


def closes(connection: psycopg.Connection[Any], day: date | None = None) -> list[Close]:
    """All closes in the order of the chain, or those of `day`."""
    query = f"select {_COLUMNS} from closing.day_closes where %s::date is null or business_date = %s"  # noqa: S608
    cursor = connection.cursor(row_factory=class_row(Close))
    try:
        return cursor.execute(f"{query} order by close_number".encode(), (day, day)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise DatabaseError("The warehouse has not been prepared.", fix="run `psp up` or `psp sync all` once") from None


def close_of(connection: psycopg.Connection[Any], day: date, kind: Kind | None = None) -> Close:
    """The close of `day`; without `kind` the final one, else the provisional one. Raises ClosingError."""
    found = {close.kind: close for close in closes(connection, day)}
    close = found.get(kind) if kind else found.get("final") or found.get("provisional")
    if close is None:
        raise ClosingError(
            f"{day} has no {kind + ' ' if kind else ''}close.", fix="`psp close list` shows the days that are closed"
        )
    return close


def signed_texts(connection: psycopg.Connection[Any], close: Close) -> list[str]:
    """The lines of a signed report, in their order."""
    query = "select line from closing.signed_lines where close_number = %s order by line_number"
    return [row[0] for row in connection.execute(query, (close.close_number,))]


def broken_links(connection: psycopg.Connection[Any]) -> list[str]:
    """What does not hold of the chain and of the signed reports; empty when all of it does."""
    wrong: list[str] = []
    previous = FIRST_HASH
    for number, close in enumerate(closes(connection), 1):
        name = f"{close.kind} close {close.close_number} of {close.business_date}"
        texts = signed_texts(connection, close)
        if close.close_number != number or close.previous_hash != previous:
            wrong.append(f"{name}: does not follow the close before it")
        if close.computed_hash() != close.close_hash:
            wrong.append(f"{name}: is not what was signed")
        if report_hash(texts) != close.report_hash or len(texts) != close.line_count:
            wrong.append(f"{name}: its report is not what was signed")
        previous = close.close_hash
    return wrong


@contextmanager
def _models_at_rest(url: str) -> Iterator[None]:
    """No run of the models and no other signature meanwhile; held by a session of its own, before anything is read."""
    with connect(url, role=TRANSFORMER, autocommit=True, application="psp-close") as connection:
        connection.execute("select set_config('lock_timeout', %s, false)", (f"{LOCK_WAIT_SECONDS}s",))
        try:
            for name in ("dbt", "closing"):
                connection.execute("select pg_advisory_lock(%s)", (advisory_key(name),))
        except psycopg.errors.LockNotAvailable:
            raise ConflictError(
                f"A run of the models has not ended within {LOCK_WAIT_SECONDS // 60} minutes.",
                fix="look at it in the Dagster UI, terminate it if it hangs, and close the day again",
            ) from None
        yield


def _refuse_second(connection: psycopg.Connection[Any], day: date, kind: Kind) -> None:
    for close in closes(connection, day):
        if close.kind in (kind, "final"):
            raise ConflictError(
                f"{day} has been closed as {close.kind} by {close.closed_by}.",
                fix=f"a signature stays; see it with `psp close show --date {day}`, what changed since with"
                f" `psp close diff --date {day}`",
            )


def _require_rules(connection: psycopg.Connection[Any], rules: RuleBook) -> None:
    built = connection.execute("select fingerprint from intermediate.model_build").fetchone()
    if built is None or built[0] != rules.version:
        raise NotAtRest(
            "The marts were built by other rules than those of this release.",
            fix="run `psp sync all`, then close the day again",
        )


def _watermarks(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute("select source, flow, watermark from raw.source_watermarks order by source, flow")
    return {f"{source} {flow}": canonical_instant(watermark) for source, flow, watermark in rows}


def _require_complete(watermarks: dict[str, str], day: date, kind: Kind, zone: ZoneInfo) -> None:
    """A final close needs both sources complete past the end of the day; a provisional one says how far they are."""
    if kind == "provisional":
        return
    wanted = canonical_instant(ends_at(day, zone))
    names = [f"{source} {flow}" for source in ("vima", "payshack") for flow in ("payin", "payout")]
    behind = [name for name in names if watermarks.get(name, "") < wanted]
    if behind:
        raise ClosingError(
            f"{day} is not complete yet in {', '.join(behind)}.",
            fix="run `psp sync all` until `psp status` shows watermarks past the day, then close it again",
        )


def _require_no_residual(connection: psycopg.Connection[Any], day: date) -> None:
    row = connection.execute(
        "select count(*), string_agg(distinct project || ' ' || flow || ' ' || currency, ', ')"
        " from marts.rpt_bridge_daily where business_date = %s and cause = 'residual' and amount <> 0",
        (day,),
    ).fetchone()
    if row and row[0]:
        raise ClosingError(
            f"The bridge of {day} has a residual in {row[1]}: money that nothing explains.",
            fix="find its cause first, see docs/operations/close.md",
        )


def _write(
    connection: psycopg.Connection[Any], basis: Basis, kind: Kind, by: str, lines: Sequence[Line], rules: RuleBook
) -> Close:
    snapshot = connection.execute("select pg_current_snapshot()::text").fetchone()
    quarantine = connection.execute(
        "select coalesce(array_agg(quarantine_id order by quarantine_id), '{}') from raw.quarantine"
        " where replayed_at is null"
    ).fetchone()
    last = connection.execute(
        "select close_number, close_hash from closing.day_closes order by close_number desc limit 1"
    ).fetchone()
    values: dict[str, Any] = {
        "close_number": (last[0] if last else 0) + 1,
        "business_date": basis.business_date,
        "kind": kind,
        "closed_at": basis.as_known_at,
        "closed_by": by,
        "as_known_at": basis.as_known_at,
        "known_snapshot": snapshot[0] if snapshot else "",
        "rule_version": basis.rule_version,
        "business_timezone": basis.business_timezone,
        "watermarks": dict(basis.watermarks),
        "open_quarantine": quarantine[0] if quarantine else [],
        "line_count": len(lines),
        "report_hash": report_hash(line.text for line in lines),
        "previous_hash": last[1] if last else FIRST_HASH,
    }
    close = Close(**values, close_hash=Close(**values, close_hash="").computed_hash())
    known = connection.execute(
        "select true from closing.rule_books where rule_version = %s", (rules.version,)
    ).fetchone()
    if known is None:
        connection.execute(
            "insert into closing.rule_books (rule_version, archive, archived_at) values (%s, %s, %s)",
            (rules.version, rules.archive(), basis.as_known_at),
        )
    row = [getattr(close, field.name) for field in fields(Close)]
    marks = ", ".join(["%s"] * len(row))
    connection.execute(
        f"insert into closing.day_closes ({_COLUMNS}) values ({marks})".encode(),  # noqa: S608 - names of our own
        [json.dumps(value) if isinstance(value, dict) else value for value in row],
    )
    with connection.cursor().copy(
        "copy closing.signed_lines (close_number, line_number, section, row_key, line) from stdin"
    ) as copy:
        for number, line in enumerate(lines, 1):
            copy.write_row((close.close_number, number, line.section, line.row_key, line.text))
    return close
