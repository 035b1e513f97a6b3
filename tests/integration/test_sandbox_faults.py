"""A sandbox that was told to misbehave does so on the wire, as often as it was told, and is well afterwards."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.core.runtime import payshack_access, vima_access
from tests.sandbox import Providers, sandbox_providers

LIST = "/indigate-payin-svc/api/v1/payin/transaction/fetch"
LOGIN = "/indigate-user-svc/api/v1/auth/login"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    with sandbox_providers(
        tmp_path_factory.mktemp("faulty"), orders=500, vima=("--faults",), payshack=("--faults", "--envelope", "plain")
    ) as running:
        yield running


@pytest.fixture
def line() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


def tell(line: httpx.Client, url: str, **fault: Any) -> None:
    origin = httpx.URL(url).copy_with(path="/sandbox/faults", query=None)
    line.post(origin, json=fault).raise_for_status()


def vima_page(line: httpx.Client, faulty: Providers) -> httpx.Response:
    access = vima_access(faulty.settings())
    return line.get(f"{access.base_url}/operation", params={"apikey": access.api_key, "from_operation_update_id": 0})


def payshack_page(line: httpx.Client, faulty: Providers, **query: Any) -> dict[str, Any]:
    access = payshack_access(faulty.settings())
    login = line.post(f"{access.api_url}{LOGIN}", json={"email": access.email, "password": access.password}).json()
    headers = {"Authorization": f"Bearer {login['data']['token']}", "reseller-id": login["data"]["clientId"]}
    return line.get(f"{access.api_url}{LIST}", params={"limit": 20, **query}, headers=headers).json()["data"]


def test_status_and_retry_after_come_as_often_as_told(line: httpx.Client, faulty: Providers) -> None:
    tell(line, vima_access(faulty.settings()).base_url, fault="status", status=429, retry_after=2, times=2)
    answers = [vima_page(line, faulty) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"


def test_the_line_can_be_cut_truncated_slow_or_wrong(line: httpx.Client, faulty: Providers) -> None:
    base_url = vima_access(faulty.settings()).base_url
    tell(line, base_url, fault="cut")
    with pytest.raises(httpx.RemoteProtocolError):
        vima_page(line, faulty)
    tell(line, base_url, fault="truncated")
    with pytest.raises(json.JSONDecodeError):
        vima_page(line, faulty).json()
    tell(line, base_url, fault="html")
    assert "html" in vima_page(line, faulty).headers["Content-Type"]
    tell(line, base_url, fault="content_type")
    assert vima_page(line, faulty).headers["Content-Type"] == "text/plain"
    tell(line, base_url, fault="slow", seconds=0.3)
    assert vima_page(line, faulty).elapsed.total_seconds() >= 0.3
    assert len(vima_page(line, faulty).json()) == 100


def test_records_can_come_in_disorder_or_move_up(line: httpx.Client, faulty: Providers) -> None:
    portal = payshack_access(faulty.settings()).portal_url
    usual = payshack_page(line, faulty)
    tell(line, portal, fault="disorder")
    assert payshack_page(line, faulty)["transactions"] == usual["transactions"][::-1]
    tell(line, portal, fault="vanish")
    shifted = payshack_page(line, faulty)
    assert shifted["transactions"][:-1] == usual["transactions"][1:]
    assert shifted["totalRecords"] == usual["totalRecords"] - 1


def test_time_can_be_pushed_on_so_that_new_records_push_in(line: httpx.Client, faulty: Providers) -> None:
    before = payshack_page(line, faulty)["totalRecords"]
    tell(line, payshack_access(faulty.settings()).portal_url, fault="hurry", seconds=600)
    assert payshack_page(line, faulty)["totalRecords"] > before


def test_sessions_can_be_forgotten_and_logins_refused(line: httpx.Client, faulty: Providers) -> None:
    access = payshack_access(faulty.settings())
    tell(line, access.portal_url, fault="refuse_login")
    credentials = {"email": access.email, "password": access.password}
    assert line.post(f"{access.api_url}{LOGIN}", json=credentials).json()["success"] is False
    login = line.post(f"{access.api_url}{LOGIN}", json=credentials).json()["data"]
    headers = {"Authorization": f"Bearer {login['token']}", "reseller-id": login["clientId"]}
    tell(line, access.portal_url, fault="tokens")
    assert line.get(f"{access.api_url}{LIST}", headers=headers).status_code == 401


def test_an_unknown_fault_is_refused_and_all_can_be_taken_back(line: httpx.Client, faulty: Providers) -> None:
    control = httpx.URL(vima_access(faulty.settings()).base_url).copy_with(path="/sandbox/faults")
    assert line.post(control, json={"fault": "meteor"}).status_code == 400
    tell(line, str(control), fault="status", times=50)
    assert line.delete(control).json() == []
    assert vima_page(line, faulty).status_code == 200


def test_without_the_switch_nobody_can_order_faults(line: httpx.Client, providers: Providers) -> None:
    control = httpx.URL(vima_access(providers.settings()).base_url).copy_with(path="/sandbox/faults")
    assert line.post(control, json={"fault": "status"}).status_code == 404
