"""Polite HTTP for every provider: time-outs, bounded retries with back-off and jitter, Retry-After, redacted errors.

Retried: timeouts, connection failures, answers cut short, 408, 429 and 5xx. Never retried: other 4xx, which cannot
succeed.
Limits: bytes of an answer, number of tries, total waiting per request.
"""

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from pipelines.core.errors import SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.core.redaction import redact

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_TRIES = 6
MAX_WAIT_SECONDS = 60.0
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
GLANCE_TRIES = 2
GLANCE_TIMEOUT = httpx.Timeout(8.0, connect=4.0)
"""For a look from a sensor: Dagster ends a tick after a minute, and the next one comes soon."""

Parameters = Mapping[str, str | int]


class PageTransport(Protocol):
    """What a provider's client needs: the bytes of a JSON answer."""

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """Bytes of the answer. Raises SourceAuthError, SourceContractError or SourceUnavailable."""
        ...


class _Retryable(Exception):
    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class HttpTransport:
    """A PageTransport over httpx. One request at a time; use as a context manager."""

    def __init__(
        self,
        *,
        source: str,
        pause_seconds: float = 0.0,
        max_tries: int = MAX_TRIES,
        timeout: httpx.Timeout = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._pause = pause_seconds
        self._max_tries = max_tries
        self._sleep = sleep
        self._requests = 0
        self._client = httpx.Client(
            timeout=timeout,
            transport=transport,
            headers={"Accept": "application/json"},
            follow_redirects=False,
            # Providers are reached directly, never through a proxy that some variable happens to name.
            trust_env=False,
        )

    def __enter__(self) -> "HttpTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str, *, params: Parameters, headers: Mapping[str, str]) -> bytes:
        """Bytes of a JSON answer; pauses between requests as configured."""
        if self._requests and self._pause:
            self._sleep(self._pause)
        self._requests += 1
        retrying = Retrying(
            retry=retry_if_exception_type(_Retryable),
            stop=stop_after_attempt(self._max_tries),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._get_once, url, params, headers)
        except _Retryable as failure:
            raise SourceUnavailable(
                f"{self._source} does not answer at {_place(url)} after {self._max_tries} tries: {failure}.",
                fix="check that the provider is up and the address is right; the next run goes on from here",
            ) from None

    def _get_once(self, url: str, params: Parameters, headers: Mapping[str, str]) -> bytes:
        try:
            with self._client.stream("GET", url, params=dict(params), headers=dict(headers)) as answer:
                self._judge(answer, url)
                chunks, size = [], 0
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    if size > MAX_ANSWER_BYTES:
                        raise SourceContractError(
                            f"{self._source} sent more than {MAX_ANSWER_BYTES} bytes from {_place(url)}.",
                            fix="ask for smaller pages",
                        )
                    chunks.append(chunk)
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as failure:
            raise _Retryable(type(failure).__name__) from None
        except httpx.HTTPError as failure:
            raise SourceContractError(
                f"{self._source} cannot be asked at {_place(url)}: {redact(str(failure))}.", fix="check the address"
            ) from None
        return b"".join(chunks)

    def _judge(self, answer: httpx.Response, url: str) -> None:
        status = answer.status_code
        if status in (408, 429) or status >= 500:
            raise _Retryable(f"HTTP {status}", _retry_after(answer.headers.get("Retry-After")))
        if status in (401, 403):
            raise SourceAuthError(
                f"{self._source} refused the credentials (HTTP {status}) at {_place(url)}.",
                fix=f"check the {self._source} credentials in the settings",
            )
        if status != 200:
            raise SourceContractError(
                f"{self._source} answered HTTP {status} at {_place(url)}.", fix="check the address and its parameters"
            )
        kind = answer.headers.get("Content-Type", "")
        if "json" not in kind:
            raise SourceContractError(
                f"{self._source} answered {kind.split(';')[0] or 'no content type'} instead of JSON at {_place(url)}.",
                fix="check the address: it may lead to a login or error page",
            )

    def _wait(self, state: RetryCallState) -> float:
        backoff = wait_exponential_jitter(initial=0.5, max=MAX_WAIT_SECONDS, jitter=0.5)(state)
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after if isinstance(failure, _Retryable) else None
        # The provider's wish is a lower bound, spread a little so that several clients do not return together.
        return backoff if asked is None else min(asked + random.uniform(0, 0.25), MAX_WAIT_SECONDS)  # noqa: S311


def _place(url: str) -> str:
    """Host and path: an address in an error never carries its query."""
    parsed = httpx.URL(url)
    return f"{parsed.host}:{parsed.port}{parsed.path}" if parsed.port else f"{parsed.host}{parsed.path}"


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
