"""A PayShack of a few invented records, served by the real sandbox server in a thread, with real Chromium before it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pipelines.core.clock import fixed_clock
from pipelines.core.runtime import PayShackAccess, payshack_access
from pipelines.core.settings import Settings, load_settings
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.payshack_server import create_app

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
DAY = date(2026, 1, 14)


def payin(number: int, created: datetime, **changes: Any) -> dict[str, Any]:
    record = {
        "_id": 15000000 + number,
        "txnId": f"T{number:015d}",
        "orderId": f"ORDER{number:08d}",
        "amount": 100,
        "paidAmount": "100.50",
        "txnStatus": "Success",
        "clientName": "91G_TECH_PVT_LTD",
        "transactionType": "UPI_INTENT",
        "payerVpa": "payer1@upi",
        "createdAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "modifiedAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return record | changes


@dataclass
class TinyWorld:
    """Lists that a test may change between two requests: `before_page` is called with the number of the request."""

    payins: list[dict[str, Any]] = field(default_factory=list)
    payouts: list[dict[str, Any]] = field(default_factory=list)
    before_page: Callable[[int], None] | None = None
    requests: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    balance: str = "12.50"

    def payshack_page(
        self, flow: str, *, now: datetime, page: int, limit: int, order_id: str | None, **filters: Any
    ) -> tuple[list[dict[str, Any]], int]:
        self.requests += 1
        self.asked.append({"flow": flow, "page": page, "order_id": order_id, **filters})
        if self.before_page:
            self.before_page(self.requests)
        rows = [
            row
            for row in (self.payins if flow == "payin" else self.payouts)
            if (order_id is None or row.get("orderId") == order_id) and _within(row, filters)
        ]
        rows.sort(key=lambda row: str(row.get("createdAt")), reverse=True)
        return rows[(page - 1) * limit : page * limit], len(rows)

    def payshack_directory(self, entity: str, *, now: datetime) -> list[dict[str, Any]]:
        ids = {"clients": "clientId", "resellers": "resellerId", "service_providers": "spId"}
        return [{ids[entity]: f"{entity}-{i}", "name": f"{entity} {i}", "balance": self.balance} for i in range(3)]

    def payshack_totals(self, now: datetime) -> dict[str, Any]:
        return {"totalTransactions": len(self.payins)}


def _within(row: dict[str, Any], filters: dict[str, Any]) -> bool:
    if filters["date_from"] is None:
        return True
    return filters["date_from"].isoformat() <= str(row["createdAt"])[:10] <= filters["date_to"].isoformat()


@dataclass
class Sandbox:
    """One running server, its state and the settings that lead to it."""

    world: TinyWorld
    state: dict[str, Any]
    home: Path
    stop: Callable[[], None]
    expire_tokens: Callable[[], None]

    def settings(self, **changes: str) -> Settings:
        values = {"PSP_HOME": str(self.home), "PSP_NOW": NOW.isoformat()}
        return load_settings(values | changes)

    def access(self, settings: Settings | None = None) -> PayShackAccess:
        return payshack_access(settings or self.settings())

    def write_state(self, **payshack: Any) -> None:
        """Change what the reading side believes, for example a wrong password; the server keeps its own."""
        changed = {**self.state, "payshack": {**self.state["payshack"], **payshack}}
        (self.home / "sandbox.json").write_text(json.dumps(changed))


@pytest.fixture
def world() -> TinyWorld:
    """250 pay-ins and 120 pay-outs of one closed day."""
    start = datetime.combine(DAY, datetime.min.time(), UTC)
    payins = [payin(i, start + timedelta(minutes=5 * i)) for i in range(250)]
    payouts = [payin(i + 1000, start + timedelta(minutes=i), netAmount=-98) for i in range(120)]
    return TinyWorld(payins=payins, payouts=payouts)


@pytest.fixture
def start_sandbox(world: TinyWorld, tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts a server over `world`; keyword arguments are those of the server."""
    stops: list[Callable[[], None]] = []

    def start(*, envelope: str = "plain", token_minutes: float = 30.0, with_code: bool = False) -> Sandbox:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        payshack = {
            "portal_url": url,
            "api_url": url,
            "email": "reseller@sandbox.example",
            "password": "invented-password-417",
            "response_secret": "invented-response-secret-903",
            "response_iv": "invented-iv-0001",
        }
        state = {"seed": 7, "orders": 1, "payshack": payshack}
        faults = Faults()
        app = create_app(
            world,
            state,
            clock=fixed_clock(NOW),
            envelope=envelope,
            token_minutes=token_minutes,
            with_code=with_code,
            faults=faults,
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)

        def stop() -> None:
            server.should_exit = True
            thread.join(timeout=10)
            listener.close()

        stops.append(stop)

        def expire_tokens() -> None:
            """Have the next request refused, and every other with a token of today."""
            faults.add(Fault(fault="tokens"))

        sandbox = Sandbox(world=world, state=state, home=tmp_path, stop=stop, expire_tokens=expire_tokens)
        sandbox.write_state()
        return sandbox

    yield start
    for stop in stops:
        stop()
