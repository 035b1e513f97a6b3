"""Every order of the standing world: what reconciliation says in SQL is what the answer key says in Python."""

from typing import Any

from psycopg.rows import dict_row

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sandbox.answer_key import ExpectedRow, expected_rows
from pipelines.sandbox.kinds import KINDS
from pipelines.sandbox.world import TABLES
from tests.conftest import Loaded

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


def answer_key(loaded: Loaded, settings: Settings) -> dict[Legs, ExpectedRow]:
    rows = expected_rows(loaded.providers.world, settings.clock())
    return {(row.vima_transaction_id, row.payshack_transaction_id): row for row in rows}


def test_every_order_ends_as_the_answer_key_says(loaded: Loaded, loaded_settings: Settings) -> None:
    found, expected = reconciliation(loaded_settings), answer_key(loaded, loaded_settings)
    differences = [
        f"{row.kind} {legs}: {said(found[legs]) if legs in found else 'no row'} instead of "
        f"{said({name: getattr(row, name) for name in COMPARED})}"
        for legs, row in expected.items()
        if legs not in found or said(found[legs]) != said({name: getattr(row, name) for name in COMPARED})
    ]
    differences += [f"not expected: {legs} {said(row)}" for legs, row in found.items() if legs not in expected]
    assert not differences, f"{len(differences)} of {len(expected)}:\n" + "\n".join(differences[:20])
    assert len(expected) > 2500


def test_the_world_holds_every_kind(loaded: Loaded, loaded_settings: Settings) -> None:
    world, now = loaded.providers.world, loaded_settings.clock()
    seen = {record.kind for table in TABLES for record in world.records(table, now)}
    assert seen == {kind.name for kind in KINDS}
