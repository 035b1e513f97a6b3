"""Rows as the contract shows them. Its fields are also the columns that are read and exported, in order."""

from datetime import date, datetime
from typing import Annotated, Literal

from psycopg import sql
from pydantic import Field

from pipelines.sidecar.answers import Strict

Amount = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1234.50"])]
"""Exact decimal in major units, as text."""

Amounts = dict[str, Amount]
"""Amount by currency code; amounts of different currencies are never added up."""

Source = Literal["vima", "payshack"]
Flow = Literal["payin", "payout"]
Status = Literal["success", "failed", "pending", "expired", "refunded", "chargeback", "tampered", "unmapped"]
Discrepancy = Literal["discrepancy_amount", "discrepancy_status", "missing_vima", "missing_payshack"]
Outcome = Literal["matched", "discrepancy_amount", "discrepancy_status", "missing_vima", "missing_payshack"]
Comparability = Literal["comparable", "in_flight", "not_yet_comparable", "informational"]
Severity = Literal["critical", "high", "medium", "low"]
BreakState = Literal[
    "open",
    "acknowledged",
    "pending_provider",
    "reopened",
    "auto_resolved",
    "explained",
    "force_matched",
    "written_off",
    "excluded_test",
]


class Transaction(Strict):
    """One payment record of a source, current version (marts.fct_transactions)."""

    transaction_id: str
    source: Source
    flow: Flow
    source_txn_id: str
    order_key: str | None
    project: str | None
    merchant: str | None
    currency: str | None
    amount: Amount | None
    requested_amount: Amount | None
    fee: Amount | None
    status: Status
    status_raw: str | None
    payment_method: str | None
    provider_reference: str | None
    utr: str | None
    rrn: str | None
    country: str | None
    created_at: datetime | None
    updated_at: datetime | None
    completed_at: datetime | None
    business_date: date
    first_seen_at: datetime
    last_seen_at: datetime | None
    is_paid_amount_missing: bool | None
    is_flow_assumed: bool | None
    is_created_at_missing: bool | None
    is_status_regression: bool | None
    is_client_unmapped: bool | None


class Version(Strict):
    """One observed version of a payment record (marts.fct_transaction_versions)."""

    transaction_id: str
    source: Source
    version_number: int
    status: Status | None
    status_raw: str | None
    previous_status: Status | None
    amount: Amount | None
    currency: str | None
    updated_at: datetime | None
    observed_at: datetime
    content_hash: str | None


class Reconciliation(Strict):
    """One pair or single and what reconciliation says of it (marts.fct_reconciliation)."""

    reconciliation_id: str
    flow: Flow
    project: str
    order_key: str | None
    outcome: Outcome | None
    comparability: Comparability
    reasons: list[str] | None
    severity: Severity | None
    exposure: Amount | None
    vima_transaction_id: str | None
    payshack_transaction_id: str | None
    vima_attempt_ids: list[str] | None
    payshack_attempt_ids: list[str] | None
    vima_amount: Amount | None
    payshack_amount: Amount | None
    vima_status: Status | None
    payshack_status: Status | None
    currency: str | None
    payshack_currency: str | None
    business_date: date
    event_at: datetime | None
    review_at: datetime | None
    awaited_source: Source | None
    awaited_watermark: datetime | None


class BreakRow(Strict):
    """One break as it stands (marts.fct_breaks, marts.fct_bank_breaks). `proposal` waits for a second person.

    `reconciliation_id` names what it is about: a row of reconciliation, or `movement:ID` or `bank_line:ID` of the bank.
    """

    break_id: str
    generation: int
    reconciliation_id: str
    flow: Flow
    project: str | None
    currency: str | None
    order_key: str | None
    outcome: Outcome | None
    reason: str | None
    reasons: list[str] | None
    reason_family: str | None
    severity: Severity | None
    state: BreakState
    owner: str | None
    opened_at: datetime
    closed_at: datetime | None
    close_cause: str | None
    aging_bucket: str
    is_aged_t1: bool
    is_aged_t5: bool
    sla_due_at: datetime | None
    exposure: Amount | None
    exposure_side: str | None
    value_at_risk: Amount | None
    business_date: date | None
    event_at: datetime | None
    vima_transaction_id: str | None
    payshack_transaction_id: str | None
    proposal: str | None
    partner_break_id: str | None
    last_event_number: int


class BreakEvent(Strict):
    """Something that happened to a break (marts.fct_break_events); never changed, never removed."""

    break_id: str
    event_number: int
    at: datetime
    actor: str
    action: str
    from_state: str | None
    to_state: BreakState
    cause: str | None
    text: str | None
    evidence_hash: str | None
    previous_hash: str
    event_hash: str


class Discrepant(Reconciliation):
    """A row that disagrees, and its breaks, the newest first; none until the models have opened one."""

    breaks: list[BreakRow]


class DailyMetrics(Strict):
    """One business date, source, project, flow, method and currency (marts.rpt_metrics_daily), as exported."""

    business_date: date
    source: Source
    project: str
    flow: Flow
    payment_method: str
    currency: str
    created_count: int
    success_count: int
    failed_count: int
    pending_count: int
    expired_count: int
    refunded_count: int
    chargeback_count: int
    unclear_count: int
    created_amount: Amount
    success_amount: Amount
    failed_amount: Amount
    pending_amount: Amount
    returned_amount: Amount
    fee_amount: Amount
    conversion_rate: Amount | None
    payment_success_rate: Amount | None
    actionable_success_rate: Amount | None


def columns(row: type[Strict]) -> sql.Composed:
    """The select list of a row."""
    return sql.SQL(", ").join(sql.Identifier(name) for name in row.model_fields)
