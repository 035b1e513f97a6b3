"""Every order of the standing world: what reconciliation says in SQL is what the answer key says in Python."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import parsed_project
from pipelines.defs.model.runner import Depth, run_models
from pipelines.loading.payshack import load_payshack_feed
from pipelines.loading.vima import load_vima_feed
from pipelines.sandbox.kinds import KINDS
from pipelines.sandbox.world import TABLES
from tests.answer_key import assert_as_expected, reconciliation
from tests.conftest import Loaded, take_parsed_models
from tests.sandbox import STANDING_AT, sandbox_providers

READ = ("+fct_reconciliation", "+fct_transactions")


def test_every_order_ends_as_the_answer_key_says(loaded: Loaded, loaded_settings: Settings) -> None:
    assert_as_expected(loaded.providers.world, loaded_settings)
    assert len(reconciliation(loaded_settings)) > 2500


@pytest.mark.slow
def test_a_world_that_moves_on_is_followed_by_what_changed(warehouse: str, parsed_models: Path, tmp_path: Path) -> None:
    """Each step loads and models only what is new, and must end where the key for that instant says."""
    take_parsed_models(parsed_models, tmp_path)
    for minutes in (0, 7, 300, 1600):
        now = STANDING_AT + timedelta(minutes=minutes)
        with sandbox_providers(tmp_path, orders=1200, seed=11, now=now, payshack=("--envelope", "plain")) as providers:
            # Refunds come up to ten days after the payment; the look-back must reach them, as the sweep does at night.
            settings = providers.settings(PSP_DATABASE_URL=warehouse, PAYSHACK_LOOKBACK_DAYS="31")
            load_vima_feed(settings)
            load_payshack_feed(settings)
            depth: Depth = "changes" if minutes else "models"
            run_models(settings, project=parsed_project(settings), depth=depth, select=READ if minutes else ())
            assert_as_expected(providers.world, settings)


def test_the_world_holds_every_kind(loaded: Loaded, loaded_settings: Settings) -> None:
    world, now = loaded.providers.world, loaded_settings.clock()
    seen = {record.kind for table in TABLES for record in world.records(table, now)}
    assert seen == {kind.name for kind in KINDS}
