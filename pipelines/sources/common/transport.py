"""Polite requests to every provider: time-outs, bounded retries with back-off and jitter, Retry-After, redacted errors.

    get -> pause -> one try (HttpTransport, or the portal's own page) -> judged -> bytes | tried again | raised

Tried again: timeouts, connection failures, answers cut short, 408, 429 and 5xx. Never: what cannot succeed, which is
every other 4xx, a redirect, something that is no JSON, an answer too large, and a provider that asks to be left alone
for longer than anybody waits here.
Limits: bytes and seconds of an answer, number of tries, length of one wait.
"""

import logging
import math
import random
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Protocol

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from pipelines.core.errors import SourceAuthError, SourceContractError, SourceForbidden, SourceUnavailable
from pipelines.core.redaction import RedactingFilter, redact
from pipelines.sources.common.pace import Pace

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_ANSWER_SECONDS = 120.0

LIBRARY_LOGS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
"""A logger's filters see its own records only, so each is named."""

Parameters = Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request may take: tries, seconds of the longest wait between them, seconds to connect and to read."""

    tries: int
    longest_wait: float
    connect_seconds: float
    read_seconds: float


LOAD = Patience(tries=6, longest_wait=60.0, connect_seconds=10.0, read_seconds=30.0)
GLANCE = Patience(tries=2, longest_wait=5.0, connect_seconds=4.0, read_seconds=8.0)
"""For a look from a sensor: Dagster ends a tick after a minute, and the next one comes soon."""


class PageTransport(Protocol):
    """What a provider's client needs: the bytes of a JSON answer."""

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """Bytes of the answer. Raises SourceAuthError, SourceContractError or SourceUnavailable."""
        ...


class Retryable(Exception):
    """A try that failed in a way that may pass. The text names no address and holds no secret."""

    def __init__(self, reason: str, *, retry_after: float | None = None, is_limit: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_limit = is_limit


class PoliteTransport(ABC):
    """What all ways of asking share. One request at a time."""

    def __init__(self, *, source: str, pace: Pace, patience: Patience, sleep: Callable[[float], None]) -> None:
        self._source = source
        self._pace = pace
        self._patience = patience
        self._sleep = sleep
        self._has_asked = False

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """Bytes of a JSON answer; pauses between requests as configured, and longer while the provider limits us."""
        if self._has_asked and self._pace.seconds:
            self._sleep(self._pace.seconds)
        self._has_asked = True
        retrying = Retrying(
            retry=retry_if_exception_type(Retryable),
            stop=stop_after_attempt(self._patience.tries),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            body: bytes = retrying(self._try, url, params, headers)
        except Retryable as failure:
            raise SourceUnavailable(
                f"{self._source} does not answer at {_place(url)} after {self._patience.tries} tries: {failure}.",
                fix="check that the provider is up and the address is right; the next run goes on from here",
            ) from None
        self._pace.recover()
        return body

    @abstractmethod
    def _get_once(self, url: str, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """One try. Raises Retryable, or what `get` raises."""

    def _try(self, url: str, params: Parameters, headers: Mapping[str, str]) -> bytes:
        try:
            body = self._get_once(url, params, headers)
        except Retryable as failure:
            if failure.is_limit:
                self._pace.slow_down()
            if failure.retry_after is not None and failure.retry_after > self._patience.longest_wait:
                raise SourceUnavailable(
                    f"{self._source} asks to be left alone for {failure.retry_after:.0f} s ({failure}).",
                    fix="nothing is lost, a later run goes on from here; ask the provider for a higher limit",
                ) from None
            raise
        # A whole JSON answer ends its array or object; less of it is a line cut by someone between.
        if body.rstrip()[-1:] not in (b"]", b"}"):
            raise Retryable("the answer is cut short")
        return body

    def _judge(self, url: str, *, status: int, content_type: str, retry_after: str | None) -> None:
        """Raise unless this is the head of a JSON answer."""
        if status in (408, 429) or status >= 500:
            raise Retryable(f"HTTP {status}", retry_after=_seconds(retry_after), is_limit=status == 429)
        if status in (401, 403):
            raise (SourceForbidden if status == 403 else SourceAuthError)(
                f"{self._source} refused the credentials (HTTP {status}) at {_place(url)}.",
                fix=f"check the {self._source} credentials in the settings",
            )
        if status != 200:
            raise SourceContractError(
                f"{self._source} answered HTTP {status} at {_place(url)}.", fix="check the address and its parameters"
            )
        if "json" not in content_type:
            kind = content_type.split(";")[0].strip() or "no content type"
            raise SourceContractError(
                f"{self._source} answered {kind} instead of JSON at {_place(url)}.",
                fix="check the address: it may lead to a login or error page",
            )

    def _too_large(self, url: str) -> SourceContractError:
        return SourceContractError(
            f"{self._source} sent more than {MAX_ANSWER_BYTES} bytes from {_place(url)}.", fix="ask for smaller pages"
        )

    def _wait(self, state: RetryCallState) -> float:
        backoff = wait_exponential_jitter(multiplier=0.5, max=self._patience.longest_wait, jitter=0.5)(state)
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after if isinstance(failure, Retryable) else None
        # The provider's wish is a lower bound, spread a little so that several clients do not return together.
        return backoff if asked is None else asked + random.uniform(0, 0.25)  # noqa: S311


class HttpTransport(PoliteTransport):
    """A PageTransport over httpx; use as a context manager."""

    def __init__(
        self,
        *,
        source: str,
        pause_seconds: float = 0.0,
        pace: Pace | None = None,
        patience: Patience = LOAD,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`pace` is given where several transports share the provider's patience, else `pause_seconds` is the pause."""
        super().__init__(source=source, pace=pace or Pace(pause_seconds), patience=patience, sleep=sleep)
        _redact_library_logs()
        self._client = httpx.Client(
            timeout=httpx.Timeout(patience.read_seconds, connect=patience.connect_seconds),
            transport=transport,
            headers={"Accept": "application/json"},
            follow_redirects=False,
            verify=_trusted(),
            # Providers are reached directly, never through a proxy that some variable happens to name.
            trust_env=False,
        )

    def __enter__(self) -> "HttpTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _get_once(self, url: str, params: Parameters, headers: Mapping[str, str]) -> bytes:
        deadline = time.monotonic() + MAX_ANSWER_SECONDS
        try:
            with self._client.stream("GET", url, params=dict(params), headers=dict(headers)) as answer:
                self._judge(
                    url,
                    status=answer.status_code,
                    content_type=answer.headers.get("Content-Type", ""),
                    retry_after=answer.headers.get("Retry-After"),
                )
                chunks, size = [], 0
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    if size > MAX_ANSWER_BYTES:
                        raise self._too_large(url)
                    if time.monotonic() > deadline:
                        raise Retryable(f"the answer takes longer than {MAX_ANSWER_SECONDS:.0f} s")
                    chunks.append(chunk)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.DecodingError) as failure:
            reason = redact(str(failure)).strip()[:200]
            raise Retryable(f"{type(failure).__name__}{f' ({reason})' if reason else ''}") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as failure:
            raise SourceContractError(
                f"{self._source} cannot be asked at {_place(url)}: {type(failure).__name__}.",
                fix="check the address and the credentials in the settings",
            ) from None
        return b"".join(chunks)


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes longer than a small load's requests; every client would do it again."""
    return httpx.create_ssl_context(trust_env=False)


def _redact_library_logs() -> None:
    """httpx tells every address with its query, as soon as anybody listens at level INFO; Vima's key is in there."""
    for name in LIBRARY_LOGS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, RedactingFilter) for known in logger.filters):
            logger.addFilter(RedactingFilter())


def _place(url: str) -> str:
    """Host and path: an address in an error never carries its query or its user."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address that cannot be read"
    return f"{parsed.host}:{parsed.port}{parsed.path}" if parsed.port else f"{parsed.host}{parsed.path}"


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, in seconds or as a date, as seconds from now; None where it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if not math.isnan(seconds) else None
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
