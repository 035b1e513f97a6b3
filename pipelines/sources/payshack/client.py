"""PayShack's endpoints: one request, one opened answer, each record's bytes as the provider wrote them.

    transport (http | browser) -> envelope {"success", "data"} -> cipher -> listing

On 401 or 403 the session is renewed once; a second refusal is final.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

import msgspec
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from pipelines.core.browser import open_browser
from pipelines.core.errors import SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.runtime import PayShackAccess
from pipelines.core.settings import Settings
from pipelines.sources.common.transport import (
    GLANCE_TIMEOUT,
    GLANCE_TRIES,
    HttpTransport,
    PageTransport,
    Parameters,
)
from pipelines.sources.payshack.cipher import ResponseCipher
from pipelines.sources.payshack.session import Session, SessionStore, login_in, open_page

PAGE_SIZE = 100
LISTINGS = {
    "payin": "/indigate-payin-svc/api/v1/payin/transaction/fetch",
    "payout": "/indigate-payout-svc/api/v1/wallet/transactions",
}
DIRECTORIES = {
    "clients": "/indigate-core-svc/api/v1/client/fetch-all-client",
    "resellers": "/indigate-core-svc/api/v1/reseller/fetch-all-reseller",
    "service_providers": "/indigate-core-svc/api/v1/service-provider/fetch-all-sp",
}


class _Envelope(msgspec.Struct):
    success: bool = True
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    checksum: str | None = None


class Listing(msgspec.Struct, rename="camel"):
    """One page of a listing, newest first."""

    transactions: list[msgspec.Raw]
    total_records: int
    total_pages: int | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_listing = msgspec.json.Decoder(Listing)
_array = msgspec.json.Decoder(list[msgspec.Raw])


class BrowserTransport:
    """A PageTransport that asks from inside the signed-in portal page, for when plain HTTP is refused."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """Bytes of the answer to a fetch made by the page itself. Raises like HttpTransport, without retries."""
        # The page brings its own cookies and user agent; only what scripts may set goes along.
        allowed = {name: value for name, value in headers.items() if name.lower() in ("authorization", "reseller-id")}
        try:
            status, body = self._page.evaluate(
                "async ([url, headers]) => { const answer = await fetch(url, {headers});"
                " return [answer.status, await answer.text()]; }",
                [f"{url}?{urlencode(params)}" if params else url, allowed],
            )
        except PlaywrightError:
            raise SourceUnavailable("PayShack does not answer inside the portal page.", fix="try again later") from None
        if status in (401, 403):
            raise SourceAuthError(f"PayShack refused the session (HTTP {status}).", fix="sign in again")
        if status != 200:
            raise SourceUnavailable(f"PayShack answered HTTP {status} inside the portal page.", fix="try again later")
        return str(body).encode()


@dataclass(slots=True)
class PayShackClient:
    """Reads listings and directories. Raises the SourceError family, never with a secret or an answer's content."""

    access: PayShackAccess
    store: SessionStore
    transport: PageTransport
    session: Session
    cipher: ResponseCipher
    page: Page | None = None
    may_sign_in: bool = True

    def listing(self, flow: str, *, page: int, limit: int = PAGE_SIZE, **filters: str) -> Listing:
        """One page of pay-ins or pay-outs; filters as PayShack names them (dateFrom, dateTo, orderId, ...)."""
        opened = self._open(LISTINGS[flow], {"page": page, "limit": limit, **filters})
        try:
            return _listing.decode(opened)
        except msgspec.DecodeError:
            raise _changed(LISTINGS[flow]) from None

    def day(self, flow: str, day: date, *, page: int, limit: int = PAGE_SIZE) -> Listing:
        """One page of one UTC created day."""
        return self.listing(flow, page=page, limit=limit, dateFrom=day.isoformat(), dateTo=day.isoformat())

    def directory(self, entity: str) -> list[msgspec.Raw]:
        """All clients, resellers or service providers."""
        opened = self._open(DIRECTORIES[entity], {})
        try:
            if opened.lstrip()[:1] == b"[":
                return _array.decode(opened)
            # Some deployments wrap the list under its own name.
            found = msgspec.json.decode(opened, type=dict[str, msgspec.Raw])
            lists = [value for value in found.values() if bytes(value).lstrip()[:1] == b"["]
            return _array.decode(lists[0])
        except (msgspec.DecodeError, IndexError):
            raise _changed(DIRECTORIES[entity]) from None

    def _open(self, path: str, params: Parameters) -> bytes:
        try:
            body = self._get(path, params)
        except SourceAuthError:
            self.store.forget()
            if not self.may_sign_in:
                raise
            self._renew()
            body = self._get(path, params)
        try:
            envelope = _envelope.decode(body)
        except msgspec.DecodeError:
            raise _changed(path) from None
        if not envelope.success:
            raise SourceContractError(
                f"PayShack refused {path}.", fix="look into the portal; the account may lack a right"
            )
        return self.cipher.open(bytes(envelope.data), checksum=envelope.checksum, place=path)

    def _get(self, path: str, params: Parameters) -> bytes:
        return self.transport.get(f"{self.access.api_url}{path}", params=params, headers=self.session.headers())

    def _renew(self) -> None:
        """Once: sign in again instead of the refused session; who comes later takes the new one."""
        if self.page is not None:
            with self.store.login_attempt():
                self.session = login_in(self.page, self.access)
        else:
            self.session = self.store.session(self.access)


@contextmanager
def open_client(settings: Settings, access: PayShackAccess) -> Iterator[PayShackClient]:
    """A client with a valid session over the configured transport, for the length of the block."""
    store = SessionStore(settings)
    cipher = ResponseCipher(access.response_secret, access.response_iv)
    if access.transport == "browser":
        with open_browser(settings) as browser:
            with store.login_attempt():
                page, session = open_page(browser, access)
            yield PayShackClient(access, store, BrowserTransport(page), session, cipher, page)
        return
    session = store.session(access)
    with HttpTransport(source="PayShack", pause_seconds=access.page_pause_seconds) as transport:
        yield PayShackClient(access, store, transport, session, cipher)


@contextmanager
def open_kept_client(settings: Settings, access: PayShackAccess) -> Iterator[PayShackClient | None]:
    """A client over the kept session, or None where one would have to sign in first. Asks little, and gives up soon.

    It never signs in: a refused session is forgotten and raises SourceAuthError, as does asking while logins cool down.
    """
    store = SessionStore(settings)
    session = store.current(access)
    if session is None:
        store.refuse_while_cooling()
    if session is None or access.transport == "browser":
        yield None
        return
    cipher = ResponseCipher(access.response_secret, access.response_iv)
    with HttpTransport(source="PayShack", max_tries=GLANCE_TRIES, timeout=GLANCE_TIMEOUT) as transport:
        yield PayShackClient(access, store, transport, session, cipher, may_sign_in=False)


def _changed(path: str) -> SourceContractError:
    return SourceContractError(
        f"PayShack's answer from {path} is not of the known shape.", fix="compare it with docs/sources/payshack.md"
    )
