"""Pages per second of both sandbox servers, read by one client over HTTP; run by `make bench`.

The sandbox must not be the bottleneck of what is measured through it: at least 300 pages of 100 records a second. The
client's own work is part of the seconds; CPU is the server's alone.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from pipelines.core.runtime import payshack_access, vima_access
from tests.sandbox import sandbox_providers

ORDERS = 100_000
PAGES = 300
TARGET = 300
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def main() -> int:
    """Print one line per server; exit code 1 when one of them is slower than the target."""
    with (
        tempfile.TemporaryDirectory() as home,
        sandbox_providers(Path(home), orders=ORDERS, now=NOW) as providers,
        httpx.Client(trust_env=False) as client,
    ):
        vima, payshack = vima_access(providers.settings()), payshack_access(providers.settings())
        ids = providers.world.events().update_id
        cursors = [str(ids[number * len(ids) // PAGES // 2]) for number in range(PAGES)]
        parameters = {"apikey": vima.api_key, "count": 100}
        rates = [
            _rate(
                "vima",
                [
                    lambda cursor=cursor: client.get(
                        f"{vima.base_url}/operation", params={**parameters, "from_operation_update_id": cursor}
                    )
                    for cursor in cursors
                ],
            )
        ]
        login = client.post(
            f"{payshack.api_url}/indigate-user-svc/api/v1/auth/login",
            json={"email": payshack.email, "password": payshack.password},
        ).json()["data"]
        headers = {"Authorization": f"Bearer {login['token']}", "reseller-id": login["clientId"]}
        path = f"{payshack.api_url}/indigate-payin-svc/api/v1/payin/transaction/fetch"
        rates.append(
            _rate(
                "payshack",
                [
                    lambda number=number: client.get(path, params={"page": number, "limit": 100}, headers=headers)
                    for number in range(1, PAGES + 1)
                ],
            )
        )
    return int(min(rates) < TARGET)


def _rate(name: str, requests: list[Callable[[], httpx.Response]]) -> float:
    server = next(child for child in psutil.Process().children() if name in child.cmdline())
    requests[0]()
    busy, began = _cpu(server), time.perf_counter()
    for request in requests:
        request().raise_for_status()
    rate = len(requests) / (time.perf_counter() - began)
    milliseconds = (_cpu(server) - busy) / len(requests) * 1000
    sys.stdout.write(f"{name:<9} {rate:6.0f} pages/s, {milliseconds:.2f} ms of the server's CPU a page\n")
    return rate


def _cpu(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
