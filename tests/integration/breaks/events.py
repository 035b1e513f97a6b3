"""Breaks without models: events written as a model run writes them, on the real log; and their fold, told in Python."""

import csv
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pipelines.core.postgres import TRANSFORMER, connect

SEEDS = Path(__file__).parents[3] / "dbt_project" / "seeds"
AT = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
OPEN = {"open", "acknowledged", "pending_provider", "reopened"}
DECISIONS = {"explained", "force_matched", "written_off", "test_excluded"}


def lay_seeds(url: str) -> None:
    """The reviewed seeds that actions read, as dbt would have built them."""
    with connect(url, role=TRANSFORMER) as connection:
        for name in ("break_approvals", "break_explanations"):
            rows = list(csv.DictReader((SEEDS / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
            table = sql.Identifier("reference", name)
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL("numeric" if column == "threshold" else "text"))
                for column in rows[0]
            )
            connection.execute(sql.SQL("create table {} ({})").format(table, columns))
            for row in rows:
                marks = sql.SQL(", ").join(sql.Placeholder() for _ in row)
                connection.execute(sql.SQL("insert into {} values ({})").format(table, marks), list(row.values()))


def evaluation(break_id: str, **changes: Any) -> dict[str, Any]:
    """What reconciliation says of the row of a break."""
    return {
        "reconciliation_id": f"row-{break_id}",
        "reconciliation_key": f"key:{break_id}",
        "flow": "payin",
        "project": "91game",
        "currency": "INR",
        "order_key": break_id,
        "outcome": "missing_payshack",
        "comparability": "comparable",
        "reason": "missing_side",
        "reasons": ["missing_side"],
        "reason_family": "presence",
        "severity": "critical",
        "exposure": 500,
        "exposure_side": "platform",
        "vima_transaction_id": f"v-{break_id}",
        "payshack_transaction_id": None,
        "vima_amount": 500,
        "payshack_amount": None,
        "vima_status": "success",
        "payshack_status": None,
        "business_date": "2026-01-15",
        "event_at": "2026-01-15T09:00:00Z",
        "chargeback_at": None,
        "is_break": True,
        "is_lapsed": False,
    } | changes


def lacks_vima(break_id: str, **changes: Any) -> dict[str, Any]:
    """The same of a row that only PayShack has."""
    sides = {"vima_transaction_id": None, "vima_amount": None, "payshack_transaction_id": f"p-{break_id}"}
    return evaluation(break_id, **sides | {"payshack_amount": 500, "outcome": "missing_vima"} | changes)


def system_event(
    connection: psycopg.Connection[Any],
    break_id: str,
    action: str,
    to_state: str,
    said: Mapping[str, Any] | None = None,
    *,
    cause: str | None = None,
    evidence: str = "e1",
) -> None:
    """One event as a model run appends it, in a transaction of its own."""
    with connection.transaction():
        connection.execute("set local role psp_transformer")
        connection.execute("select breaks.begin_append()")
        known = connection.execute(
            "select last_event_number, state from breaks.state where break_id = %s", (break_id,)
        ).fetchone()
        connection.execute(
            "insert into breaks.wanted_events (break_id, step, expected_event_number, at, actor, action, from_state,"
            " to_state, cause, evidence_hash, rule_version, evaluation)"
            " values (%s, 1, %s, %s, 'system', %s, %s, %s, %s, %s, 'rules', %s)",
            (
                *(break_id, known[0] if known else 0, AT, action, known[1] if known else None, to_state, cause),
                *(evidence, json.dumps(said, default=str) if said is not None else None),
            ),
        )
        connection.execute("select breaks.append_wanted()")


def folded(events: list[dict[str, Any]]) -> dict[str, Any]:
    """State, owner, decision and proposal of a break from its events in order: the rules of R7, told without SQL."""
    found: dict[str, Any] = dict.fromkeys(
        (
            "state",
            "owner",
            "closed_at",
            "close_cause",
            "decision",
            "decided_by",
            "proposal",
            "proposed_by",
            "reopened_at",
        )
    )
    for event in events:
        assert event["from_state"] == found["state"]
        if event["to_state"] != found["state"]:
            closing = event["to_state"] not in OPEN
            found |= {"closed_at": event["at"] if closing else None, "close_cause": event["cause"] if closing else None}
        found["state"] = event["to_state"]
        found["owner"] = event["owner"] or found["owner"]
        if event["action"] in DECISIONS:
            found |= {"decision": event["action"], "decided_by": event["actor"]}
        if event["action"] == "reopened":
            found["reopened_at"] = event["at"]
        if event["action"] == "proposed":
            found |= {"proposal": event["proposal"], "proposed_by": event["actor"]}
        elif event["action"] not in ("commented", "assigned"):
            found |= {"proposal": None, "proposed_by": None}
    return found
