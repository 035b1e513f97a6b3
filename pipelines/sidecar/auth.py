"""Who asks, whether they may, and how often: a bearer key with scopes, or for a WebSocket a ticket bought with it.

Authorization: Bearer <key>  ->  Caller(name, scopes)
POST /api/v1/ws/ticket       ->  ticket, good once, for half a minute, in this process
"""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.requests import HTTPConnection

from pipelines.sidecar.errors import Forbidden, TooManyRequests, Unauthorized
from pipelines.sidecar.keys import ApiKey, KeyRing, Scope

REQUESTS_PER_SECOND = 200
BURST = 400
TICKET_SECONDS = 30
OPEN_TICKETS = 10_000

_bearer = HTTPBearer(auto_error=False, description="An API key, see docs/sidecar.md")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks. `name` goes into the audit trail."""

    key: ApiKey

    @property
    def name(self) -> str:
        """The name of the key."""
        return self.key.name

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.key.scopes


class Gate:
    """The keys, the tickets and the pace of one process."""

    def __init__(self, keys: KeyRing, *, burst: int = BURST, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._burst = float(burst)
        self._now = monotonic
        self._tickets: dict[str, tuple[float, Caller]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, presented: str | None, scope: Scope) -> Caller:
        """The caller behind a key. Raises Unauthorized, Forbidden or TooManyRequests."""
        if not presented:
            raise Unauthorized("An API key is needed. Send it as the header Authorization: Bearer <key>.")
        verdict = self._keys.check(presented)
        if verdict.key is None:
            raise Unauthorized(verdict.problem)
        caller = Caller(verdict.key)
        if not caller.may(scope):
            raise Forbidden(f"The API key {caller.name} lacks the scope {scope}.", details={"needed_scope": scope})
        self._pace(caller.key.id)
        return caller

    def still_admitted(self, caller: Caller) -> bool:
        """Whether the key has neither expired nor been revoked since."""
        return self._keys.recheck(caller.key).key is not None

    def issue_ticket(self, caller: Caller) -> str:
        """A ticket that opens one WebSocket soon."""
        now = self._now()
        self._tickets = {digest: kept for digest, kept in self._tickets.items() if kept[0] > now}
        if len(self._tickets) >= OPEN_TICKETS:
            raise TooManyRequests("Too many unused tickets.", retry_after_seconds=TICKET_SECONDS)
        ticket = secrets.token_urlsafe(32)
        self._tickets[_digest(ticket)] = (now + TICKET_SECONDS, caller)
        return ticket

    def redeem(self, ticket: str) -> Caller:
        """The caller who bought the ticket; it is used up. Raises Unauthorized."""
        expires, caller = self._tickets.pop(_digest(ticket), (0.0, None))
        if caller is None or expires <= self._now() or not self.still_admitted(caller):
            raise Unauthorized("The ticket is unknown, used or too old. Get one from POST /api/v1/ws/ticket.")
        return caller

    def _pace(self, key_id: str) -> None:
        now = self._now()
        tokens, since = self._buckets.get(key_id, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * REQUESTS_PER_SECOND)
        if tokens < 1:
            self._buckets[key_id] = (tokens, now)
            raise TooManyRequests(
                f"More than {REQUESTS_PER_SECOND} requests a second with one key.", retry_after_seconds=1
            )
        self._buckets[key_id] = (tokens - 1, now)


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def gate(connection: HTTPConnection) -> Gate:
    """The gate of this process."""
    found: Gate = connection.app.state.gate
    return found


def bearer_of(headers: Iterable[tuple[str, str]]) -> str | None:
    """The key in an Authorization header, if there is one."""
    for name, value in headers:
        scheme, _, credentials = value.partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer":
            return credentials.strip() or None
    return None


def needs(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who has `scope`."""

    async def admitted(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        return gate(request).admit(credentials.credentials if credentials else None, scope)

    return admitted


ReadCaller = Annotated[Caller, Depends(needs("read"))]
ExportCaller = Annotated[Caller, Depends(needs("export"))]
OperateCaller = Annotated[Caller, Depends(needs("operate"))]
