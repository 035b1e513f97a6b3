"""Comparing fct_reconciliation, row by row, with the answer key of the sandbox."""

from typing import Any

from psycopg.rows import dict_row

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sandbox.answer_key import ExpectedRow, expected_rows
from pipelines.sandbox.world import World

Legs = tuple[str | None, str | None]
COMPARED = (
    "flow",
    "project",
    "order_key",
    "outcome",
    "comparability",
    "severity",
    "reasons",
    "vima_attempt_ids",
    "payshack_attempt_ids",
)


def said(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in COMPARED}
    for name in ("reasons", "vima_attempt_ids", "payshack_attempt_ids"):
        found[name] = sorted(found[name])
    return found


def reconciliation(settings: Settings) -> dict[Legs, dict[str, Any]]:
    with connect(database_url(settings), role=READER) as connection:
        rows = connection.cursor(row_factory=dict_row).execute("select * from marts.fct_reconciliation").fetchall()
    return {(row["vima_transaction_id"], row["payshack_transaction_id"]): row for row in rows}


def answer_key(world: World, settings: Settings) -> dict[Legs, ExpectedRow]:
    rows = expected_rows(world, settings.clock())
    return {(row.vima_transaction_id, row.payshack_transaction_id): row for row in rows}


def differences(found: dict[Legs, dict[str, Any]], expected: dict[Legs, ExpectedRow]) -> list[str]:
    """What the mart says otherwise than the key, one line a row."""
    lines = []
    for legs, row in expected.items():
        wanted = said({name: getattr(row, name) for name in COMPARED})
        if legs not in found:
            lines.append(f"{row.kind} {legs}: no row")
        elif said(found[legs]) != wanted:
            lines.append(f"{row.kind} {legs}: {said(found[legs])} instead of {wanted}")
    return lines + [f"not expected: {legs} {said(row)}" for legs, row in found.items() if legs not in expected]


def assert_as_expected(world: World, settings: Settings) -> None:
    found, expected = reconciliation(settings), answer_key(world, settings)
    wrong = differences(found, expected)
    assert not wrong, f"{len(wrong)} of {len(expected)}:\n" + "\n".join(wrong[:20])
