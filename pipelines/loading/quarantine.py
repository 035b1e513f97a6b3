"""Looking into the quarantine, and trying its records again after the contract or the reader has been mended.

    raw.quarantine -> the kept payload -> the contract as it is now -> raw log (load_mode `replay`) and replayed_at
                                                                    -> or the reason why it stays

A record whose text could not be stored is replayed as it was kept, with U+FFFD in place of what was lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

import psycopg
import pyarrow as pa
import pyarrow.compute as compute

from pipelines.core.errors import SettingsError
from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.loading.raw_log import append
from pipelines.loading.runs import Load, open_load
from pipelines.sources.common.records import Provenance, RecordSpec, build_page
from pipelines.sources.payshack.schema import DIRECTORY_SPECS, TRANSACTIONS
from pipelines.sources.vima.schema import OPERATIONS

SPECS: dict[str, RecordSpec] = {
    spec.table: spec for spec in (OPERATIONS, *TRANSACTIONS.values(), *DIRECTORY_SPECS.values())
}
LIST_LIMIT = 200
REPLAY_CHUNK = 1_000

_CHOSEN = (
    " where (%(table)s::text is null or source_table = %(table)s)"
    " and (%(reason)s::text is null or reason = %(reason)s) and (%(replayed)s or replayed_at is null)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One record in quarantine, without its payload, which may hold personal data."""

    quarantine_id: int
    source_table: str
    record_id: str | None
    order_key: str | None
    reason: str
    detail: str
    observed_at: datetime
    replayed_at: datetime | None


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What became of the records that were tried again; `refused` names those that stay, with the reason of today."""

    replayed: int = 0
    rows_new: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def list_quarantine(
    settings: Settings,
    *,
    table: str | None = None,
    reason: str | None = None,
    with_replayed: bool = False,
    limit: int = LIST_LIMIT,
) -> list[Quarantined]:
    """Records in quarantine, newest first. Raises DatabaseError, or SettingsError for an unknown table."""
    _check_table(table)
    with connect(database_url(settings), role=LOADER, application="psp-quarantine") as connection:
        rows = connection.execute(
            "select quarantine_id, source_table, record_id, order_key, reason, detail, observed_at, replayed_at"  # noqa: S608
            " from raw.quarantine" + _CHOSEN + " order by quarantine_id desc limit %(limit)s",
            {"table": table, "reason": reason, "replayed": with_replayed, "limit": limit},
        ).fetchall()
    names = Quarantined.__dataclass_fields__
    return [Quarantined(**dict(zip(names, row, strict=True))) for row in rows]


def count_quarantine(
    settings: Settings, *, table: str | None = None, reason: str | None = None, with_replayed: bool = False
) -> int:
    """How many records `list_quarantine` would show without its limit. Raises like it."""
    _check_table(table)
    with connect(database_url(settings), role=LOADER, application="psp-quarantine") as connection:
        row = connection.execute(
            "select count(*) from raw.quarantine" + _CHOSEN,  # noqa: S608 - ours
            {"table": table, "reason": reason, "replayed": with_replayed},
        ).fetchone()
    return int(row[0]) if row else 0


def replay_quarantine(
    settings: Settings, *, table: str | None = None, quarantine_ids: Sequence[int] | None = None
) -> ReplayReport:
    """Judge records of the quarantine again: all that wait, those of one table, or the named ones.

    Safe to repeat: what was replayed is not tried again. Raises ConflictError while another replay is running.
    """
    _check_table(table)
    report = ReplayReport()
    by_source = groupby(sorted(SPECS.values(), key=lambda spec: spec.table), key=lambda spec: _source_of(spec.table))
    for source, specs in [(source, list(group)) for source, group in by_source]:
        wanted = [spec for spec in specs if table in (None, spec.table)]
        if not wanted:
            continue
        with open_load(settings, source=source, mode="replay", scope="quarantine") as load:
            for spec in wanted:
                _replay_table(load, spec, quarantine_ids, report)
    return report


def _replay_table(load: Load, spec: RecordSpec, quarantine_ids: Sequence[int] | None, report: ReplayReport) -> None:
    after = 0
    while True:
        # One chunk, one transaction: its records are in the log and marked, or neither.
        with connect(load.url, role=LOADER, application="psp-quarantine") as connection:
            waiting = _waiting(connection, spec.table, quarantine_ids, after)
            if not waiting:
                return
            after = waiting[-1][0]
            _replay_chunk(connection, load, spec, waiting, report)


def _waiting(
    connection: psycopg.Connection, table: str, quarantine_ids: Sequence[int] | None, after: int
) -> list[tuple[int, str, datetime]]:
    return connection.execute(
        # A record that was no JSON object is kept as one JSON text; `#>> '{}'` gives that text, or the object's.
        "select quarantine_id, payload #>> '{}', observed_at from raw.quarantine"
        " where source_table = %(table)s and replayed_at is null and payload is not null and quarantine_id > %(after)s"
        " and (%(ids)s::bigint[] is null or quarantine_id = any(%(ids)s))"
        " order by quarantine_id limit %(limit)s for update",
        {
            "table": table,
            "after": after,
            "ids": None if quarantine_ids is None else list(quarantine_ids),
            "limit": REPLAY_CHUNK,
        },
    ).fetchall()


def _replay_chunk(
    connection: psycopg.Connection,
    load: Load,
    spec: RecordSpec,
    waiting: Sequence[tuple[int, str, datetime]],
    report: ReplayReport,
) -> None:
    page = pa.concat_tables(list(_pages(waiting, spec)))
    reasons = page["quarantine_reason"].to_pylist()
    details = page["quarantine_detail"].to_pylist()
    judged = list(zip((row[0] for row in waiting), reasons, details, strict=True))
    good = [quarantine_id for quarantine_id, reason, _ in judged if reason is None]
    report.refused |= {identity: f"{reason}: {detail}" for identity, reason, detail in judged if reason is not None}
    load.report.rows_read += len(judged)
    if not good:
        return
    now = load.settings.clock()
    table = page.filter(compute.is_null(page["quarantine_reason"]))
    appended = append(
        connection, table.to_batches(), source=load.report.source, table=spec.table, load_id="replay", now=now
    )
    connection.execute("update raw.quarantine set replayed_at = %s where quarantine_id = any(%s)", (now, good))
    report.replayed += len(good)
    report.rows_new += appended.new
    load.report.count(spec.table, new=appended.new, quarantined=0)


def _pages(waiting: Sequence[tuple[int, str, datetime]], spec: RecordSpec) -> Iterator[pa.Table]:
    for quarantine_id, payload, observed_at in waiting:
        provenance = Provenance(
            observed_at=observed_at, load_mode="replay", load_scope=f"quarantine_id={quarantine_id}", load_page=1
        )
        yield build_page([payload.encode()], spec=spec, provenance=provenance)


def _source_of(table: str) -> str:
    return table.partition("_")[0]


def _check_table(table: str | None) -> None:
    if table is not None and table not in SPECS:
        raise SettingsError(f"{table} is no table of the raw log.", fix=f"use one of {', '.join(sorted(SPECS))}")
