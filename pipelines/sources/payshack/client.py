"""PayShack's endpoints: one page at a time, envelope checked, `data` opened, each record's own text kept.

    session + request -> transport (http | browser) -> envelope -> cipher -> list of raw records

A refused session (401, 403, or the same inside the body of an HTTP 200) is renewed once, then the failure is final:
a loop of logins would lock the account. Days are UTC. At most 7 days and 100 rows are asked for at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

import msgspec

from pipelines.core.errors import SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.redaction import redact
from pipelines.sources.common.transport import PageTransport, Parameters
from pipelines.sources.payshack.cipher import ResponseKeys, open_data
from pipelines.sources.payshack.schema import Entity, Flow
from pipelines.sources.payshack.session import Session

PAGE_SIZE = 100
MAX_WINDOW_DAYS = 7
MAX_DIRECTORY_PAGES = 1000
MAX_MESSAGE = 120

FLOW_PATHS: dict[Flow, str] = {
    "payin": "/indigate-payin-svc/api/v1/payin/transaction/fetch",
    "payout": "/indigate-payout-svc/api/v1/wallet/transactions",
}
ENTITY_PATHS: dict[Entity, str] = {
    "clients": "/indigate-core-svc/api/v1/client/fetch-all-client",
    "resellers": "/indigate-core-svc/api/v1/reseller/fetch-all-reseller",
    "service_providers": "/indigate-core-svc/api/v1/service-provider/fetch-all-sp",
}
TOTALS_PATH = "/indigate-payin-svc/api/v1/dashboard/meta"


class SessionProvider(Protocol):
    """Where the session comes from; SessionManager in production."""

    def current(self) -> Session:
        """A session believed to be valid."""
        ...

    def renew(self, refused: Session) -> Session:
        """A new session after `refused` was refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a flow's list, newest first, and the source's own total for the whole filter."""

    records: list[msgspec.Raw]
    total: int
    per_page: int


class _Envelope(msgspec.Struct):
    success: bool | None = None
    statusCode: int | None = None
    message: Any = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    encryptedBody: str | None = None
    checksum: str | None = None


class _Page(msgspec.Struct):
    transactions: list[msgspec.Raw]
    totalRecords: int
    perPage: int | None = None


_envelope = msgspec.json.Decoder(_Envelope)
# Numbers inside encrypted answers have been seen as text.
_page = msgspec.json.Decoder(_Page, strict=False)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class PayShackClient:
    """Reads the reseller view. Raises the SourceError family, never with a secret or a payer in its text."""

    def __init__(
        self, transport: PageTransport, *, api_url: str, sessions: SessionProvider, keys: ResponseKeys
    ) -> None:
        self._transport = transport
        self._api_url = api_url.rstrip("/")
        self._sessions = sessions
        self._keys = keys

    def transactions(
        self,
        flow: Flow,
        *,
        page: int = 1,
        limit: int = PAGE_SIZE,
        date_from: date | None = None,
        date_to: date | None = None,
        order_id: str | None = None,
        transaction_id: str | None = None,
        status: str | None = None,
    ) -> Listing:
        """One page of pay-ins or pay-outs. Without dates the whole list is meant, as the portal itself shows it."""
        if not 1 <= limit <= PAGE_SIZE or page < 1:
            raise ValueError(f"page counts from 1 and limit is at most {PAGE_SIZE}")
        if (date_from is None) != (date_to is None):
            raise ValueError("give both dates or neither")
        params: dict[str, str | int] = {"page": page, "limit": limit}
        if date_from is not None and date_to is not None:
            if not timedelta(0) <= date_to - date_from < timedelta(days=MAX_WINDOW_DAYS):
                raise ValueError(f"a window is 1 to {MAX_WINDOW_DAYS} days long")
            params |= {"dateFrom": date_from.isoformat(), "dateTo": date_to.isoformat()}
        for name, value in (("orderId", order_id), ("transactionId", transaction_id), ("status", status)):
            if value is not None:
                params[name] = value
        path = FLOW_PATHS[flow]
        try:
            found = _page.decode(self._data(path, params))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable(path, "a list of transactions with its total") from None
        per_page = found.perPage if found.perPage is not None and 1 <= found.perPage <= limit else limit
        return Listing(records=found.transactions, total=found.totalRecords, per_page=per_page)

    def directory(self, entity: Entity) -> list[msgspec.Raw]:
        """Every client, reseller or service provider; a bare array and a paged list are both understood."""
        path, records = ENTITY_PATHS[entity], list[msgspec.Raw]()
        for page in range(1, MAX_DIRECTORY_PAGES + 1):
            rows, total = _directory_page(self._data(path, {"page": page, "limit": PAGE_SIZE}), path)
            records += rows
            if not rows or total is None or len(records) >= total:
                return records
        raise SourceContractError(
            f"PayShack's list at {path} has more than {MAX_DIRECTORY_PAGES} pages.",
            fix="ask PayShack whether its paging is broken",
        )

    def totals(self) -> msgspec.Raw:
        """The dashboard's totals of the day, as they are: their shape is not documented."""
        return msgspec.Raw(self._data(TOTALS_PATH, {}))

    def _data(self, path: str, params: Parameters) -> bytes:
        session = self._sessions.current()
        try:
            return self._ask(path, params, session)
        except SourceAuthError:
            session = self._sessions.renew(session)
        try:
            return self._ask(path, params, session)
        except SourceAuthError:
            raise SourceAuthError(
                f"PayShack refuses a session that it has just given at {path}.",
                fix="check in the portal that this login may see the reseller's transactions",
            ) from None

    def _ask(self, path: str, params: Parameters, session: Session) -> bytes:
        body = self._transport.get(self._api_url + path, params=params, headers=_headers(session, self._api_url + path))
        try:
            envelope = _envelope.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable(path, "PayShack's envelope") from None
        if envelope.success is False:
            raise refusal(envelope.statusCode, envelope.message, place=path)
        data, checksum = bytes(envelope.data), envelope.checksum
        if envelope.encryptedBody is None and data.startswith(b"{") and b'"encryptedBody"' in data[:64]:
            inner = _envelope.decode(data)
            envelope, checksum = inner, inner.checksum or checksum
        if envelope.encryptedBody is not None:
            data = msgspec.json.encode(envelope.encryptedBody)
        return open_data(data, keys=self._keys, endpoint=path, checksum=checksum)


def refusal(status_code: int | None, message: object, *, place: str) -> Exception:
    """The error for an answer that says `success: false`, by the status that its body names."""
    said = redact(str(message))[:MAX_MESSAGE] if message else "no message"
    if status_code in (401, 403):
        return SourceAuthError(f"PayShack refused the session at {place}: {said}.", fix="log in again")
    if status_code is not None and (status_code in (408, 429) or status_code >= 500):
        return SourceUnavailable(
            f"PayShack cannot answer {place} now ({status_code}: {said}).", fix="the next run goes on from here"
        )
    return SourceContractError(
        f"PayShack refused the request to {place} ({status_code}: {said}).", fix="check its parameters in the portal"
    )


def _headers(session: Session, url: str) -> Mapping[str, str]:
    headers = {
        "Authorization": f"Bearer {session.token}",
        "reseller-id": session.reseller_id,
        "User-Agent": session.user_agent,
    }
    cookies = session.cookie_header(url)
    return headers | {"Cookie": cookies} if cookies else headers


def _directory_page(data: bytes, path: str) -> tuple[list[msgspec.Raw], int | None]:
    """The records and the total (None: this is everything) of a directory answer."""
    try:
        if data.startswith(b"["):
            return _array.decode(data), None
        fields = _object.decode(data)
        lists = [value for value in fields.values() if bytes(value).startswith(b"[")]
        if len(lists) == 1:
            total = fields.get("totalRecords")
            return _array.decode(lists[0]), None if total is None else msgspec.json.decode(total, type=int)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise _unreadable(path, "a list")


def _unreadable(path: str, expected: str) -> SourceContractError:
    return SourceContractError(
        f"PayShack's answer of {path} is not {expected}.",
        fix="open the page in a browser; if it works there, PayShack's wire format has changed",
    )
