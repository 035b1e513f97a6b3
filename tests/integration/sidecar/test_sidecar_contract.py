"""The OpenAPI document against the running sidecar on real marts: whatever fits it, or nearly does, is answered by it.

Schemathesis makes requests from the document, right ones and wrong ones, and compares the answers with it: status,
content type, shape, headers; that what is wrong is refused, that keys are asked for, that other methods are told so.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error

from pipelines.core.settings import load_settings
from pipelines.sidecar.app import create_app

EXAMPLES = 12
"""Of each operation. There are more than two dozen of them."""

DOCUMENT = schemathesis.openapi.from_dict(create_app(load_settings({})).openapi())
NEEDS_DAGSTER = ("/api/v1/sync/trigger", "/api/v1/reconciliation/run", "/api/v1/runs/{run_id}")
"""None runs beside this sidecar, which the document allows for: 502."""


@pytest.fixture(scope="module")
def own_sidecar(marts: str, start_sidecar: Any) -> Iterator[Any]:
    """One that nobody else asks, so that no pace is exceeded."""
    with start_sidecar(marts) as running:
        yield running


# Dates in the wrong order, an amount without its currency and the like fit the document and are refused all the same.
ALLOWED = {"positive_data_acceptance"}


@DOCUMENT.parametrize()
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_answer_is_in_the_document(own_sidecar: Any, case: Any) -> None:
    excluded = [getattr(schemathesis.checks, name) for name in ALLOWED if hasattr(schemathesis.checks, name)]
    response = case.call(
        base_url=own_sidecar.url, headers={"Authorization": f"Bearer {own_sidecar.keys['all']}"}, timeout=30
    )
    if case.operation.path in NEEDS_DAGSTER and response.status_code == 502:
        excluded.append(not_a_server_error)
    case.validate_response(response, excluded_checks=excluded)


def test_other_methods_are_told_which_there_are(own_sidecar: Any) -> None:
    answer = httpx.delete(f"{own_sidecar.url}/api/v1/transactions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
