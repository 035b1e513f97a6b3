"""Transactions: the list with its filters, and everything that is known about one of them."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from psycopg import sql

from pipelines.core.postgres import PII_READER
from pipelines.sidecar.answers import Answer, Listing, respond
from pipelines.sidecar.auth import ReadCaller
from pipelines.sidecar.database import Database, Reader
from pipelines.sidecar.errors import NotFound
from pipelines.sidecar.filters import Page, TransactionFilters
from pipelines.sidecar.listings import Lister
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, remembered
from pipelines.sidecar.shapes import Reconciliation, Transaction, Version, columns

router = APIRouter(tags=["transactions"], responses=NOT_CHANGED)

TransactionId = Annotated[str, Path(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]

ONE = sql.SQL("select {columns} from marts.fct_transactions where transaction_id = %(id)s").format(
    columns=columns(Transaction)
)
# The unit of recomputation is the match key, or the record itself where it has none: an index leads to the row.
RECONCILIATION = sql.SQL(
    """
    select {columns}
    from marts.fct_reconciliation
    where
        reconciliation_key in ('key:' || %(order_key)s, 'record:' || %(id)s)
        and (
            vima_transaction_id = %(id)s or payshack_transaction_id = %(id)s
            or %(id)s = any(vima_attempt_ids) or %(id)s = any(payshack_attempt_ids)
        )
    """
).format(columns=columns(Reconciliation))
TIMELINE = sql.SQL(
    """
    select {columns}
    from marts.fct_transaction_versions
    where transaction_id = any(%(ids)s)
    order by coalesce(updated_at, observed_at), transaction_id, version_number
    """
).format(columns=columns(Version))
RAW = sql.SQL(
    """
    select payload::text as payload
    from {payloads}
    where
        source = %(source)s and record_id = %(source_txn_id)s and content_hash = %(content_hash)s
        and (flow is null or flow = %(flow)s)
    """
)
REVEAL = "insert into ops.reveals (actor, transaction_id) values (%(actor)s, %(id)s)"


class TransactionQuery(TransactionFilters, Page):
    """Filters, page and order of the list."""

    sort_by: Literal[
        "created_at", "updated_at", "business_date", "first_seen_at", "amount", "status", "project", "source"
    ] = "created_at"


class TransactionDetail(Transaction):
    """The row, the versions of both sides in time, what reconciliation says, and the newest payload of the record.

    `raw_data` is masked unless the key has the scope pii; looking at it unmasked is written down.
    """

    timeline: list[Version]
    reconciliation: Reconciliation | None
    raw_data: dict[str, Any] | None
    raw_data_masked: bool


@router.get("/transactions", response_model=Listing[Transaction])
async def list_transactions(
    request: Request, caller: ReadCaller, asked: Annotated[TransactionQuery, Query()]
) -> Response:
    """Payment records, one page of them. Nulls sort as the greatest value."""
    lister: Lister = request.app.state.transactions
    return await remembered(request, asked, lambda reader: lister.page(reader, asked, asked, asked.sort_by))


@router.get("/transactions/{transaction_id}", response_model=Answer[TransactionDetail])
async def one_transaction(request: Request, caller: ReadCaller, transaction_id: TransactionId) -> Response:
    """One payment record with its history and its counterpart."""
    if not caller.may("pii"):
        return await remembered(request, transaction_id, lambda reader: _masked(reader, transaction_id))
    database: Database = request.app.state.database
    async with database.snapshot() as reader:
        detail, newest = await _detail(reader, transaction_id)
    if newest is not None:
        # Written down first: what cannot be recorded is not shown.
        await database.write(REVEAL, {"actor": caller.name, "id": transaction_id})
        payloads = await database.rows_as(PII_READER, RAW.format(payloads=sql.SQL("ops.payloads")), newest)
        detail["raw_data"] = _as_written(payloads)
    return respond(request, detail | {"raw_data_masked": False}, reader.freshness)


async def _masked(reader: Reader, transaction_id: str) -> Draft:
    detail, newest = await _detail(reader, transaction_id)
    if newest is not None:
        detail["raw_data"] = _as_written(await reader.rows(RAW.format(payloads=sql.SQL("ops.masked_payloads")), newest))
    return Draft(detail | {"raw_data_masked": True})


async def _detail(reader: Reader, transaction_id: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """All but the payload, and what the newest payload is found by. Raises NotFound."""
    row = await reader.row(ONE, {"id": transaction_id})
    if row is None:
        raise NotFound("There is no such transaction.")
    found = await reader.row(RECONCILIATION, {"id": transaction_id, "order_key": row["order_key"]})
    timeline = await reader.rows(TIMELINE, {"ids": _related(transaction_id, found)})
    newest = max(
        (entry for entry in timeline if entry["transaction_id"] == transaction_id),
        key=lambda entry: entry["version_number"],
        default=None,
    )
    detail = {**row, "timeline": timeline, "reconciliation": found, "raw_data": None}
    return detail, {**row, "content_hash": newest["content_hash"]} if newest else None


def _as_written(payloads: list[dict[str, Any]]) -> msgspec.Raw | None:
    """The payload as PostgreSQL wrote it: parsing would turn its numbers into binary floats."""
    return msgspec.Raw(payloads[0]["payload"].encode()) if payloads else None


def _related(transaction_id: str, reconciliation: dict[str, Any] | None) -> list[str]:
    """The record and all others of its reconciliation row."""
    if reconciliation is None:
        return [transaction_id]
    legs = [reconciliation["vima_transaction_id"], reconciliation["payshack_transaction_id"]]
    attempts = [*(reconciliation["vima_attempt_ids"] or []), *(reconciliation["payshack_attempt_ids"] or [])]
    return sorted({transaction_id, *(leg for leg in legs if leg), *attempts})
