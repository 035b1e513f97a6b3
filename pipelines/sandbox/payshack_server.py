"""The sandbox PayShack: reseller portal, login and the JSON services, as one real HTTP server on loopback.

    world (provider history up to now) -> list, filter, page -> envelope (plain | passphrase | merchant | mixed) -> HTTP

Flows: pay-ins and pay-outs, newest first, and three directories. Amounts in rupees, day filters in UTC, as the provider
documents them. Refusals come in the provider's two ways: a wrong password is `success: false` with HTTP 200, a missing
or expired token is HTTP 401, somebody else's reseller id HTTP 403.

Data follows the world's clock, which may stand still; tokens expire in real time, because a stopped clock would make
a session live for ever.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.core.clock import Clock, system_clock
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.payshack_door import Doorkeeper, Refused
from pipelines.sandbox.payshack_envelope import Envelope, refusal, seal, to_json

PORTAL = Path(__file__).parent / "portal"
LOGIN_PATH = "/indigate-user-svc/api/v1/auth/login"
CODE_PATH = "/indigate-user-svc/api/v1/auth/verify-otp"
FLOW_PATHS = {
    "payin": "/indigate-payin-svc/api/v1/payin/transaction/fetch",
    "payout": "/indigate-payout-svc/api/v1/wallet/transactions",
}
DIRECTORY_PATHS = {
    "clients": "/indigate-core-svc/api/v1/client/fetch-all-client",
    "resellers": "/indigate-core-svc/api/v1/reseller/fetch-all-reseller",
    "service_providers": "/indigate-core-svc/api/v1/service-provider/fetch-all-sp",
}
TOTALS_PATH = "/indigate-payin-svc/api/v1/dashboard/meta"
OVERVIEW_PATH = "/portal/overview"

MAX_LIMIT = 100
MAX_WINDOW = timedelta(days=7)
LATEST_ROWS = 12
ASSETS = {"/portal/portal.js": "text/javascript", "/portal/portal.css": "text/css"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "Cache-Control": "no-store",
}


class PayShackWorld(Protocol):
    """What this server needs of the world."""

    def payshack_page(
        self,
        flow: str,
        *,
        now: datetime,
        page: int,
        limit: int,
        date_from: date | None,
        date_to: date | None,
        status: str | None,
        order_id: str | None,
        transaction_id: str | None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Records of one page, newest first, and the total of the filter."""
        ...

    def payshack_directory(self, entity: str, *, now: datetime) -> list[dict[str, Any]]:
        """All clients, resellers or service_providers."""
        ...

    def payshack_totals(self, now: datetime) -> dict[str, Any]:
        """The dashboard's totals of the day."""
        ...


def create_app(
    world: PayShackWorld,
    state: dict[str, Any],
    *,
    clock: Clock,
    envelope: Envelope,
    token_minutes: float,
    with_code: bool = False,
    faults: Faults | None = None,
) -> Starlette:
    """The application over `world`; `state` is the sandbox.json with the addresses and invented credentials."""
    account = state["payshack"]
    prefix = urlsplit(account["api_url"]).path.rstrip("/")
    door = Doorkeeper(account, token_minutes=token_minutes, with_code=with_code)
    faults = faults or Faults()
    clock = faults.clock(clock)

    def answer(request: Request, data: object) -> Response:
        asked = f"{request.url.path}?{request.url.query}"
        body = seal(
            data,
            envelope=envelope,
            request=asked,
            secret=account["response_secret"] + ("-changed" if faults.take("wrong_key") else ""),
            iv=account["response_iv"],
        )
        return _json(body)

    def guarded(respond: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            if faults.take("tokens"):
                door.forget()
            # What sets a browser apart here: it says by itself what a request is for.
            if faults.lasting("robots") and "sec-fetch-mode" not in request.headers:
                return _json(to_json(refusal(403, "Please use the portal")), 403)
            try:
                door.check(request)
                return respond(request)
            except Refused as no:
                return _json(no.body, no.http_status)

        return endpoint

    async def log_in(request: Request) -> Response:
        is_code = request.url.path.endswith(CODE_PATH)
        try:
            body = await request.body()
            data = door.enter_code(body) if is_code else door.log_in(body, refuse=bool(faults.take("refuse_login")))
        except Refused as no:
            return _json(no.body, no.http_status)
        head = {"timestamp": system_clock().isoformat(), "statusCode": 200, "status": "OK", "success": True}
        return _json(to_json(head | {"message": "Login successful", "data": data}))

    def listing(flow: str) -> Callable[[Request], Response]:
        return lambda request: answer(request, _listing(world, flow, request, clock, faults))

    def directory(entity: str) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            rows = world.payshack_directory(entity, now=clock())
            # The provider wraps one of its lists and sends the others bare.
            return answer(request, {"clients": rows, "totalRecords": len(rows)} if entity == "clients" else rows)

        return respond

    def totals(request: Request) -> Response:
        return answer(request, world.payshack_totals(clock()))

    def overview(_: Request) -> Response:
        now = clock()
        rows, count = _page(world, "payin", now, page=1, limit=LATEST_ROWS)
        resellers = world.payshack_directory("resellers", now=now)
        name = next((row.get("name") or row.get("companyName") for row in resellers), None)
        data = {
            "reseller": name or "Reseller",
            "asOf": now.isoformat(),
            "payins": count,
            "totals": world.payshack_totals(now),
            "latest": rows,
        }
        return _json(to_json(data))

    routes = [Route(path, _asset(path, kind), methods=["GET"]) for path, kind in ASSETS.items()]
    routes += [Route(path, _login_page(prefix), methods=["GET"]) for path in ("/", "/login", "/dashboard")]
    routes += [Route(OVERVIEW_PATH, guarded(overview), methods=["GET"])]
    routes += [Route(prefix + path, log_in, methods=["POST"]) for path in (LOGIN_PATH, CODE_PATH)]
    routes += [Route(prefix + path, guarded(listing(flow)), methods=["GET"]) for flow, path in FLOW_PATHS.items()]
    routes += [
        Route(prefix + path, guarded(directory(entity)), methods=["GET"]) for entity, path in DIRECTORY_PATHS.items()
    ]
    routes += [Route(prefix + TOTALS_PATH, guarded(totals), methods=["GET"])]
    return Starlette(routes=routes)


def _listing(world: PayShackWorld, flow: str, request: Request, clock: Clock, faults: Faults) -> dict[str, Any]:
    faults.hurry()
    now, query = clock(), request.query_params
    page, limit = _count(query.get("page"), "page"), _count(query.get("limit"), "limit")
    if limit > MAX_LIMIT:
        raise Refused(400, f"limit is at most {MAX_LIMIT}")
    date_from, date_to = _day(query.get("dateFrom"), "dateFrom"), _day(query.get("dateTo"), "dateTo")
    if date_from and date_to and not timedelta(0) <= date_to - date_from < MAX_WINDOW:
        raise Refused(400, f"dateFrom to dateTo is 1 to {MAX_WINDOW.days} days")
    filters: dict[str, Any] = {
        "date_from": date_from,
        "date_to": date_to,
        "status": query.get("status") or None,
        "order_id": query.get("orderId") or None,
        "transaction_id": query.get("transactionId") or None,
    }
    rows, total = _page(world, flow, now, page=page, limit=limit, **filters)
    if total > limit and faults.take("vanish"):
        # The newest record is gone, so the first one of the next page moves up.
        following, _ = _page(world, flow, now, page=page + 1, limit=limit, **filters)
        rows, total = rows[1:] + following[:1], total - 1
    pages = -(-total // limit)
    return {
        "transactions": faults.rearranged(rows),
        "totalRecords": total,
        "perPage": limit,
        "totalPages": pages,
        "currentPageNo": page,
        "prevPage": page - 1 if page > 1 else None,
        "nextPage": page + 1 if page < pages else None,
    }


def _page(
    world: PayShackWorld,
    flow: str,
    now: datetime,
    *,
    page: int,
    limit: int,
    date_from: date | None = None,
    date_to: date | None = None,
    status: str | None = None,
    order_id: str | None = None,
    transaction_id: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    return world.payshack_page(
        flow,
        now=now.astimezone(UTC),
        page=page,
        limit=limit,
        date_from=date_from,
        date_to=date_to,
        status=status,
        order_id=order_id,
        transaction_id=transaction_id,
    )


def _count(text: str | None, name: str) -> int:
    default = {"page": "1", "limit": "10"}[name]
    text = default if text is None else text
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise Refused(400, f"{name} is a number from 1")
    return int(text)


def _day(text: str | None, name: str) -> date | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise Refused(400, f"{name} is a day, YYYY-MM-DD") from None


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")


def _login_page(prefix: str) -> Callable[[Request], Any]:
    html = (PORTAL / "index.html").read_text(encoding="utf-8").replace("{{API}}", prefix).encode()

    async def endpoint(_: Request) -> Response:
        return Response(html, media_type="text/html", headers=PAGE_HEADERS)

    return endpoint


def _asset(path: str, kind: str) -> Callable[[Request], Any]:
    content = (PORTAL / Path(path).name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-store"})

    return endpoint
