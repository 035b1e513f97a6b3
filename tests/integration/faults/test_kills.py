"""The short form of tests/bench/kill_feed.py: loaders die at random instants, nothing is lost, doubled or invented."""

import random
import sys
from collections.abc import Iterator

import httpx
import pytest

from pipelines.core.runtime import payshack_access, vima_access
from pipelines.sources.payshack.session import SessionStore
from tests.kills import run_with_kills
from tests.sandbox import STANDING_AT, Providers

KILLS = 8
"""As many as show that each restart goes on; `make soak` kills 200."""


@pytest.fixture
def providers_back_on_time(faulty_providers: Providers) -> Iterator[Providers]:
    """The world moves on in this test, and back for the others."""
    yield faulty_providers
    settings = faulty_providers.settings()
    for address in (vima_access(settings).base_url, payshack_access(settings).portal_url):
        httpx.delete(httpx.URL(address).copy_with(path="/sandbox/faults", query=None), trust_env=False)


def test_a_killed_loader_leaves_nothing_half_done(providers_back_on_time: Providers, warehouse: str) -> None:
    providers = providers_back_on_time
    settings = providers.settings(PSP_DATABASE_URL=warehouse)
    SessionStore(settings).session(payshack_access(settings))
    seed = random.randrange(10**6)  # noqa: S311 - another one each time, and told
    told: list[str] = [f"seed {seed}"]
    result = run_with_kills(
        kills=KILLS,
        seed=seed,
        environment=providers.environment | {"PSP_DATABASE_URL": warehouse},
        world=providers.world,
        start=STANDING_AT,
        say=told.append,
    )
    sys.stdout.write("\n".join(told))
    assert result.wrong == []
    assert result.killed >= KILLS
