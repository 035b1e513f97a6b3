"""A PayShack of a few lists behind the client's own transport seam, for tests that need no wire."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.core.runtime import PayShackAccess
from pipelines.sources.common.transport import Parameters
from pipelines.sources.payshack.cipher import ResponseCipher
from pipelines.sources.payshack.client import DIRECTORIES, LISTINGS, PayShackClient
from pipelines.sources.payshack.portal import Session

START = datetime(2026, 1, 15, tzinfo=UTC)
SECRET = "invented-response-secret-12"
ACCESS = PayShackAccess(
    portal_url="http://portal.example",
    api_url="http://api.example",
    email="one@portal.example",
    password="invented-password-12",
    response_secret=SECRET,
    response_iv="invented-iv-0012",
    transport="http",
    page_pause_seconds=0,
)


def session(number: int = 0, *, minutes: float = 30) -> Session:
    now = datetime.now(UTC)
    return Session(
        token=f"invented-token-{number}",
        reseller_id="R1",
        user_agent="Chromium",
        cookies=[{"name": "sid", "value": "invented-cookie", "url": "http://portal.example"}],
        cookie_header="sid=invented-cookie",
        obtained_at=now,
        expires_at=now + timedelta(minutes=minutes),
    )


def transaction(number: int, created: datetime | None = None, **fields: Any) -> dict[str, Any]:
    at = (created or START + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
    return {"txnId": f"T{number:06d}", "orderId": f"O{number:06d}", "amount": 100, "createdAt": at} | fields


class PayShack:
    """Answers like the services do; `before` may change the lists before an answer, counted from 1."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.directories: dict[str, Any] = {entity: [] for entity in DIRECTORIES}
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.answer: Callable[[bytes], bytes] = lambda body: body
        self.renewed = 0

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        path = url.removeprefix(ACCESS.api_url)
        self.asked.append((path, dict(params), dict(headers)))
        assert len(self.asked) < 1_000, "it reads for ever"
        self.before(len(self.asked))
        return self.answer(json.dumps({"success": True, "statusCode": 200, "data": self._data(path, params)}).encode())

    def _data(self, path: str, params: Parameters) -> Any:
        for entity, place in DIRECTORIES.items():
            if path == place:
                return self.directories[entity]
        assert path in LISTINGS.values()
        page, limit = int(params["page"]), int(params["limit"])
        rows = [
            row
            for row in self.rows
            if ("orderId" not in params or row.get("orderId") == params["orderId"])
            and ("dateFrom" not in params or params["dateFrom"] <= str(row["createdAt"])[:10] <= str(params["dateTo"]))
        ]
        rows.sort(key=lambda row: str(row["createdAt"]).replace("Z", ""), reverse=True)
        return {
            "transactions": rows[(page - 1) * limit : page * limit],
            "totalRecords": len(rows),
            "totalPages": -(-len(rows) // limit),
        }

    def client(self) -> PayShackClient:
        def renew(refused: Session) -> Session:
            self.renewed += 1
            return session(self.renewed)

        cipher = ResponseCipher(ACCESS.response_secret, ACCESS.response_iv)
        return PayShackClient(ACCESS, self, session(), cipher, renew)
