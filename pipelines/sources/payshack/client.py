"""PayShack's endpoints: one request, one opened answer, each record's bytes as the provider wrote them.

    transport (http | browser) -> envelope {"success", "data"} -> cipher -> listing

On 401 the session is renewed once; a second refusal is final. A 403 may mean that plain HTTP is refused: then the rest
of the load is asked for from inside the portal's page, with the same session, and if that is refused with a new one.
"""

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import msgspec
from playwright.sync_api import Page

from pipelines.core.browser import open_browser
from pipelines.core.errors import SourceAuthError, SourceContractError, SourceForbidden, SourceUnavailable
from pipelines.core.runtime import PayShackAccess
from pipelines.core.settings import Settings
from pipelines.sources.common.json_text import decode
from pipelines.sources.common.pace import Pace
from pipelines.sources.common.transport import GLANCE, HttpTransport, PageTransport, Parameters
from pipelines.sources.payshack.browser_transport import BrowserTransport
from pipelines.sources.payshack.cipher import ResponseCipher
from pipelines.sources.payshack.portal import Session, open_portal, sign_in
from pipelines.sources.payshack.session import SessionStore

_log = logging.getLogger(__name__)

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


class _Envelope(msgspec.Struct, rename="camel"):
    success: bool = True
    status_code: int | str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    checksum: str | None = None


class Listing(msgspec.Struct, rename="camel"):
    """One page of a listing, newest first."""

    transactions: list[msgspec.Raw]
    total_records: int
    total_pages: int | None = None
    current_page_no: int | None = None


class _Total(msgspec.Struct, rename="camel"):
    total_records: int | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_listing = msgspec.json.Decoder(Listing)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_total = msgspec.json.Decoder(_Total)


Renew = Callable[[Session], Session]
Answer = TypeVar("Answer")


@dataclass(slots=True)
class PayShackClient:
    """Reads listings and directories. Raises the SourceError family, never with a secret or an answer's content.

    `renew` gives another session in place of the refused one, or raises SourceAuthError. `into_page` changes over to
    the portal's page, once: it gives the transport and the `renew` that work there.
    """

    access: PayShackAccess
    transport: PageTransport
    session: Session
    cipher: ResponseCipher
    renew: Renew
    into_page: Callable[[Session], tuple[PageTransport, Renew]] | None = None
    _newest: dict[str, tuple[Hashable, int]] = field(default_factory=dict)

    def listing(self, flow: str, *, page: int, limit: int = PAGE_SIZE, **filters: str) -> Listing:
        """One page of pay-ins or pay-outs; filters as PayShack names them (dateFrom, dateTo, orderId, ...)."""

        def ask() -> Listing:
            found: Listing = self._opened(LISTINGS[flow], {"page": page, "limit": limit, **filters}, _listing)
            return found

        return self._fitting(ask, lambda found: found.current_page_no in (None, page), LISTINGS[flow])

    def day(self, flow: str, day: date, *, page: int, limit: int = PAGE_SIZE) -> Listing:
        """One page of one UTC created day."""

        def ask() -> Listing:
            return self.listing(flow, page=page, limit=limit, dateFrom=day.isoformat(), dateTo=day.isoformat())

        asked = (flow, day, page)
        return self._fitting(ask, lambda found: self._is_new("day", asked, found.transactions), LISTINGS[flow])

    def directory(self, entity: str) -> list[msgspec.Raw]:
        """All clients, resellers or service providers, never a part of them."""
        path = DIRECTORIES[entity]
        return self._fitting(
            lambda: self._directory(path), lambda found: self._is_new("directory", entity, found), path
        )

    def _fitting(self, ask: Callable[[], Answer], fits: Callable[[Answer], bool], path: str) -> Answer:
        """The answer to what was asked. Something between, such as a stale cache, may give the one before once more."""
        for _ in range(2):
            found = ask()
            if fits(found):
                return found
        raise SourceContractError(
            f"PayShack answered twice at {path} with what belongs to another request.",
            fix="check PAYSHACK_API_URL; something between may answer with old pages",
        )

    def _is_new(self, kind: str, asked: Hashable, records: list[msgspec.Raw]) -> bool:
        """Whether these are not the very records that the last request of this kind has brought for something else."""
        content = hash(tuple(bytes(raw) for raw in records))
        before = self._newest.get(kind)
        if records and before is not None and before[0] != asked and before[1] == content:
            return False
        self._newest[kind] = (asked, content)
        return True

    def _directory(self, path: str) -> list[msgspec.Raw]:
        opened = self._open(path, {})
        try:
            if opened.lstrip()[:1] == b"[":
                bare: list[msgspec.Raw] = decode(_array, opened)
                return bare
            # Some deployments wrap the list under its own name.
            found: dict[str, msgspec.Raw] = decode(_fields, opened)
            name = next(name for name, value in found.items() if bytes(value).lstrip()[:1] == b"[")
            if name == "transactions":
                raise _changed(path)
            records: list[msgspec.Raw] = decode(_array, bytes(found[name]))
            total = decode(_total, opened).total_records
        except (msgspec.DecodeError, StopIteration):
            raise _changed(path) from None
        if total is not None and total != len(records):
            raise SourceContractError(
                f"PayShack sent {len(records)} of {total} records from {path}.",
                fix="compare it with docs/sources/payshack.md: the list may have got pages",
            )
        return records

    def _opened(self, path: str, params: Parameters, decoder: "msgspec.json.Decoder[Any]") -> Any:
        try:
            return decode(decoder, self._open(path, params))
        except msgspec.DecodeError:
            raise _changed(path) from None

    def _open(self, path: str, params: Parameters) -> bytes:
        try:
            envelope = self._ask(path, params)
        except SourceForbidden:
            envelope = self._ask_in_page(path, params)
        except SourceAuthError:
            envelope = self._ask_anew(path, params)
        return self.cipher.open(bytes(envelope.data), checksum=envelope.checksum, place=path)

    def _ask_in_page(self, path: str, params: Parameters) -> _Envelope:
        if self.into_page is None:
            return self._ask_anew(path, params)
        self.transport, self.renew = self.into_page(self.session)
        self.into_page = None
        try:
            envelope = self._ask(path, params)
        except SourceAuthError:
            return self._ask_anew(path, params)
        _log.warning("PayShack refuses plain HTTP; the rest is read through its page. Set PAYSHACK_TRANSPORT=browser.")
        return envelope

    def _ask_anew(self, path: str, params: Parameters) -> _Envelope:
        self.session = self.renew(self.session)
        try:
            return self._ask(path, params)
        except SourceAuthError:
            raise SourceAuthError(
                f"PayShack refuses {path} right after a new login.",
                fix="look into the portal: the account may lack the right to see this",
            ) from None

    def _ask(self, path: str, params: Parameters) -> _Envelope:
        body = self.transport.get(f"{self.access.api_url}{path}", params=params, headers=self.session.headers())
        try:
            envelope: _Envelope = decode(_envelope, body)
        except msgspec.DecodeError:
            raise _changed(path) from None
        if envelope.success:
            return envelope
        # A refusal may come with HTTP 200, and says only inside what it is about.
        status = str(envelope.status_code or "unknown")
        if status in ("401", "403"):
            raise SourceAuthError(f"PayShack refused the session at {path}.", fix="sign in again")
        if status in ("408", "429") or status.startswith("5"):
            raise SourceUnavailable(f"PayShack answered status {status} from {path}.", fix="try again later")
        raise SourceContractError(
            f"PayShack refused {path} (status {status}).", fix="look into the portal; the account may lack a right"
        )


@contextmanager
def open_client(settings: Settings, access: PayShackAccess, *, pace: Pace | None = None) -> Iterator[PayShackClient]:
    """A client with a valid session over the configured transport, for the length of the block.

    `pace` is given where several clients share the provider's patience.
    """
    store = SessionStore(settings)
    cipher = ResponseCipher(access.response_secret, access.response_iv)
    pace = pace or Pace(access.page_pause_seconds)
    if access.transport == "browser":
        with open_browser(settings) as browser:
            yield _client_in_page(browser.new_page(), access, store, cipher, pace)
        return
    session = store.session(access)
    with ExitStack() as stack:

        def into_page(kept: Session) -> tuple[PageTransport, Renew]:
            page = stack.enter_context(open_browser(settings)).new_page()
            _resume(page, access, kept)
            return BrowserTransport(page, source="PayShack", pace=pace), _renewing(page, access, store)

        transport = stack.enter_context(HttpTransport(source="PayShack", pace=pace))
        yield PayShackClient(
            access, transport, session, cipher, lambda old: store.session(access, refused=old), into_page
        )


def _client_in_page(
    page: Page, access: PayShackAccess, store: SessionStore, cipher: ResponseCipher, pace: Pace
) -> PayShackClient:
    session = store.session(access, sign_in=lambda: sign_in(page, access))
    if not page.url.startswith(access.portal_url):
        _resume(page, access, session)
    transport = BrowserTransport(page, source="PayShack", pace=pace)
    return PayShackClient(access, transport, session, cipher, _renewing(page, access, store))


def _renewing(page: Page, access: PayShackAccess, store: SessionStore) -> Renew:
    """Signs in within the page."""
    return lambda refused: store.session(access, refused=refused, sign_in=lambda: sign_in(page, access))


def _resume(page: Page, access: PayShackAccess, session: Session) -> None:
    """The session was kept from another page: this one takes its cookies and opens the portal."""
    page.context.add_cookies(session.cookies)  # type: ignore[arg-type]
    open_portal(page, access)


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

    def tell(_: Session) -> tuple[PageTransport, Renew]:
        raise SourceAuthError("PayShack refuses plain HTTP.", fix="set PAYSHACK_TRANSPORT=browser")

    def forget(refused: Session) -> Session:
        store.forget(access, refused=refused)
        raise SourceAuthError("PayShack refused the kept session.", fix="the next load signs in again")

    with HttpTransport(source="PayShack", patience=GLANCE) as transport:
        yield PayShackClient(access, transport, session, cipher, forget, tell)


def _changed(path: str) -> SourceContractError:
    return SourceContractError(
        f"PayShack's answer from {path} is not of the known shape.", fix="compare it with docs/sources/payshack.md"
    )
