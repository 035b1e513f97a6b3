"""Metabase's REST API: one request at a time, retried where that is safe, refused answers told in one sentence."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from pipelines.core.errors import DashboardError
from pipelines.core.redaction import redact

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 4
RETRIED = frozenset({429, 502, 503, 504})
TOLD_CHARACTERS = 300


class Refused(DashboardError):
    """Metabase answered with an error. `status` is that of HTTP."""

    def __init__(self, status: int, message: str, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class Client:
    """A session with one Metabase. `writes` counts what was sent to change something."""

    def __init__(self, url: str, *, pause_seconds: float = 1.0) -> None:
        self.url = url
        self.writes: list[tuple[str, str]] = []
        self._pause = pause_seconds
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def use_key(self, key: str) -> None:
        """Sign every further request with an API key."""
        self._http.headers.pop("X-Metabase-Session", None)
        self._http.headers["X-API-Key"] = key

    def use_session(self, session: str) -> None:
        """Sign every further request with a session."""
        self._http.headers.pop("X-API-Key", None)
        self._http.headers["X-Metabase-Session"] = session

    def get(self, path: str, **query: Any) -> Any:
        """What is there."""
        return self._send("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Make something. Sent again only when it never left: a second one would double it."""
        return self._send("POST", path, body=body)

    def put(self, path: str, body: Mapping[str, Any], **query: Any) -> Any:
        """Change something."""
        return self._send("PUT", path, body=body, query=query)

    def _send(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                answer = self._http.request(method, path, json=body, params=query or None)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if last:
                    raise self._unreachable(error) from None
            except httpx.TransportError as error:
                if last or method == "POST":
                    raise self._unreachable(error) from None
            else:
                if answer.status_code not in RETRIED or last or (method == "POST" and answer.status_code != 429):
                    if method != "GET":
                        self.writes.append((method, path))
                    return self._content(method, path, answer)
            time.sleep(self._pause * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _unreachable(self, error: Exception) -> DashboardError:
        return DashboardError(
            f"Metabase at {self.url} cannot be reached ({type(error).__name__}).",
            fix="start it, or correct METABASE_URL",
        )

    @staticmethod
    def _content(method: str, path: str, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else None
        told = " ".join(redact(answer.text).split())[:TOLD_CHARACTERS]
        fix = {
            401: "set METABASE_API_KEY, or METABASE_ADMIN_EMAIL and METABASE_ADMIN_PASSWORD",
            403: "use the key or the login of an administrator",
            409: "somebody changed permissions at the same moment; apply again",
        }.get(answer.status_code, "apply again; when it stays, see docs/dashboards.md")
        raise Refused(answer.status_code, f"{method} {path} was refused with {answer.status_code}: {told}", fix=fix)
