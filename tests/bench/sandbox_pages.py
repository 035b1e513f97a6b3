"""Pages per second of both sandbox servers, read by one client over HTTP; run by `make bench`.

The sandbox must not be the bottleneck of what is measured through it: at least 300 pages of 100 records a second.
"""

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from pipelines.core.runtime import payshack_access, vima_access
from tests.sandbox import sandbox_providers

ORDERS = 100_000
PAGES = 300
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def main() -> None:
    """Print one line per server."""
    with (
        tempfile.TemporaryDirectory() as home,
        sandbox_providers(Path(home), orders=ORDERS, now=NOW) as providers,
        httpx.Client(trust_env=False) as client,
    ):
        vima, payshack = vima_access(providers.settings()), payshack_access(providers.settings())
        ids = providers.world.events().update_id
        cursors = [str(ids[number * len(ids) // PAGES // 2]) for number in range(PAGES)]
        parameters = {"apikey": vima.api_key, "count": 100}
        rate = _rate(
            [
                lambda cursor=cursor: client.get(
                    f"{vima.base_url}/operation", params={**parameters, "from_operation_update_id": cursor}
                )
                for cursor in cursors
            ]
        )
        sys.stdout.write(f"vima      {rate:6.0f} pages/s\n")
        login = client.post(
            f"{payshack.api_url}/indigate-user-svc/api/v1/auth/login",
            json={"email": payshack.email, "password": payshack.password},
        ).json()["data"]
        headers = {"Authorization": f"Bearer {login['token']}", "reseller-id": login["clientId"]}
        path = f"{payshack.api_url}/indigate-payin-svc/api/v1/payin/transaction/fetch"
        rate = _rate(
            [
                lambda number=number: client.get(path, params={"page": number, "limit": 100}, headers=headers)
                for number in range(1, PAGES + 1)
            ]
        )
        sys.stdout.write(f"payshack  {rate:6.0f} pages/s\n")


def _rate(requests: list) -> float:  # type: ignore[type-arg]
    requests[0]()
    began = time.perf_counter()
    for request in requests:
        request().raise_for_status()
    return len(requests) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
