"""Every order of the standing world: what reconciliation says in SQL is what the answer key says in Python."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import run_models
from pipelines.loading.payshack import load_payshack_feed
from pipelines.loading.vima import load_vima_feed
from pipelines.sandbox.answer_key import ExpectedRow, expected_rows
from pipelines.sandbox.kinds import KINDS
from pipelines.sandbox.world import TABLES, World
from tests.conftest import Loaded
from tests.sandbox import STANDING_AT, sandbox_providers

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


def test_every_order_ends_as_the_answer_key_says(loaded: Loaded, loaded_settings: Settings) -> None:
    assert_as_expected(loaded.providers.world, loaded_settings)
    assert len(reconciliation(loaded_settings)) > 2500


def test_a_world_that_moves_on_is_followed_by_what_changed(warehouse: str, tmp_path: Path) -> None:
    """Each step loads and models only what is new, and must end where the key for that instant says."""
    for minutes in (0, 7, 40, 300, 1600):
        now = STANDING_AT + timedelta(minutes=minutes)
        with sandbox_providers(tmp_path, orders=1200, seed=11, now=now, payshack=("--envelope", "plain")) as providers:
            # Refunds come up to ten days after the payment; the look-back must reach them, as the sweep does at night.
            settings = providers.settings(PSP_DATABASE_URL=warehouse, PAYSHACK_LOOKBACK_DAYS="31")
            load_vima_feed(settings)
            load_payshack_feed(settings)
            run_models(settings, project=parsed_project(settings), depth="changes" if minutes else "build")
            assert_as_expected(providers.world, settings)


def test_the_world_holds_every_kind(loaded: Loaded, loaded_settings: Settings) -> None:
    world, now = loaded.providers.world, loaded_settings.clock()
    seen = {record.kind for table in TABLES for record in world.records(table, now)}
    assert seen == {kind.name for kind in KINDS}
