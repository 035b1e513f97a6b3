"""How providers are asked: what is tried again, what never is, how long is waited, and what no text may tell."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from pipelines.core.errors import PlatformError, SourceAuthError, SourceContractError, SourceUnavailable
from pipelines.sources.common import transport as module
from pipelines.sources.common.pace import FIRST_EXTRA_SECONDS, MAX_EXTRA_SECONDS, Pace
from pipelines.sources.common.transport import GLANCE, LOAD, HttpTransport, Patience

URL = "http://provider.example:8080/api/operation"
SECRET = "invented-key-7781"
Answer = httpx.Response | Exception


def ok(body: bytes = b"[]", **headers: str) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"Content-Type": "application/json"} | headers)


class Provider:
    """Answers in turn, the last one for ever; remembers what it was asked and how long was slept in between."""

    def __init__(self, *answers: Answer | Callable[[], Answer]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        made = answer() if callable(answer) and not isinstance(answer, httpx.Response) else answer
        if isinstance(made, Exception):
            raise made
        return made

    def transport(self, **options: Any) -> HttpTransport:
        return HttpTransport(source="Vima", transport=httpx.MockTransport(self), sleep=self.slept.append, **options)

    def get(self, **options: Any) -> bytes:
        with self.transport(**options) as transport:
            return transport.get(URL, params={"apikey": SECRET, "count": 100}, headers={"X-Token": SECRET})


def status(code: int, **headers: str) -> httpx.Response:
    return httpx.Response(
        code, json={"error": SECRET}, headers={key.replace("_", "-"): v for key, v in headers.items()}
    )


def broken_off(body: bytes) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        yield body
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    return httpx.Response(200, content=chunks(), headers={"Content-Type": "application/json"})


TRANSIENT: dict[str, Callable[[], Answer]] = {
    "408": lambda: status(408),
    "429": lambda: status(429),
    "500": lambda: status(500),
    "502": lambda: status(502),
    "503": lambda: status(503),
    "504": lambda: status(504),
    "connect time-out": lambda: httpx.ConnectTimeout("timed out"),
    "read time-out": lambda: httpx.ReadTimeout("timed out"),
    "refused": lambda: httpx.ConnectError("connection refused"),
    "reset": lambda: httpx.ReadError("connection reset by peer"),
    "half a body": lambda: broken_off(b'[{"operation_id"'),
    "truncated as if whole": lambda: ok(b'[{"operation_id": "1'),
    "nothing": lambda: ok(b""),
    "damaged gzip": lambda: httpx.Response(
        200, content=iter([b"no gzip"]), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_may_pass_is_tried_again(name: str) -> None:
    provider = Provider(TRANSIENT[name](), TRANSIENT[name](), ok(b'[{"a": 1}] '))
    assert provider.get() == b'[{"a": 1}] '
    assert len(provider.asked) == 3
    assert len(provider.slept) == 2


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_does_not_pass_ends_after_bounded_tries_and_says_where_and_why(name: str) -> None:
    provider = Provider(TRANSIENT[name])
    with pytest.raises(SourceUnavailable) as caught:
        provider.get()
    assert len(provider.asked) == LOAD.tries
    assert "provider.example:8080/api/operation" in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert_no_secret(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (status(401), SourceAuthError, "refused the credentials (HTTP 401)"),
        (status(403), SourceAuthError, "refused the credentials (HTTP 403)"),
        (status(400), SourceContractError, "answered HTTP 400"),
        (status(404), SourceContractError, "answered HTTP 404"),
        (status(422), SourceContractError, "answered HTTP 422"),
        (status(204), SourceContractError, "answered HTTP 204"),
        (status(302, Location=f"http://elsewhere.example/?k={SECRET}"), SourceContractError, "answered HTTP 302"),
        (
            httpx.Response(200, html=f"<html>{SECRET}</html>"),
            SourceContractError,
            "answered text/html instead of JSON",
        ),
        (httpx.Response(200, content=b"[]"), SourceContractError, "answered no content type instead of JSON"),
        (httpx.UnsupportedProtocol(f"no {SECRET}"), SourceContractError, "cannot be asked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_succeed_is_asked_once(answer: Answer, kind: type[PlatformError], says: str) -> None:
    provider = Provider(answer)
    with pytest.raises(kind) as caught:
        provider.get()
    assert len(provider.asked) == 1
    assert says in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException | None) -> None:
    """Neither the text nor anything that a traceback would show holds the secret."""
    while error is not None:
        assert SECRET not in str(error)
        assert "?" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_redirect_is_never_followed_with_our_key() -> None:
    provider = Provider(status(302, Location="http://elsewhere.example/"))
    with pytest.raises(SourceContractError):
        provider.get()
    assert [request.url.host for request in provider.asked] == ["provider.example"]


def test_an_address_that_cannot_be_read_is_a_clear_error() -> None:
    with Provider(ok()).transport() as transport, pytest.raises(SourceContractError, match="cannot be asked"):
        transport.get("http://host:port/", params={}, headers={})


def test_an_answer_too_large_is_given_up_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 1000)
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b" " * 100

    provider = Provider(httpx.Response(200, content=endless(), headers={"Content-Type": "application/json"}))
    with pytest.raises(SourceContractError, match="more than 1000 bytes"):
        provider.get()
    assert len(taken) < 20


def test_an_answer_that_only_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_SECONDS", -1.0)
    with pytest.raises(SourceUnavailable, match="takes longer than -1 s"):
        Provider(ok).get()


def test_back_off_grows_with_jitter_and_stays_bounded() -> None:
    provider = Provider(lambda: status(500))
    with pytest.raises(SourceUnavailable):
        provider.get()
    assert all(0.5 * 2**n <= slept <= 0.5 * 2**n + 0.5 for n, slept in enumerate(provider.slept))
    assert len(set(provider.slept)) == LOAD.tries - 1


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_in_seconds_is_obeyed(code: int) -> None:
    provider = Provider(status(code, Retry_After="7"), ok())
    provider.get()
    assert 7 <= provider.slept[0] <= 7.25


def test_retry_after_as_a_date_is_obeyed() -> None:
    at = datetime.now(UTC) + timedelta(seconds=20)
    provider = Provider(status(429, Retry_After=format_datetime(at, usegmt=True)), ok())
    provider.get()
    assert 17 <= provider.slept[0] <= 20.25


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "Mon, 01 Jan 2001 00:00:00 GMT", ""])
def test_a_senseless_retry_after_does_no_harm(value: str) -> None:
    provider = Provider(status(429, Retry_After=value), ok())
    provider.get()
    assert 0 <= provider.slept[0] <= 1


@pytest.mark.parametrize("value", ["3600", "1e9", "inf"])
def test_who_asks_to_be_left_alone_for_long_is_left_alone(value: str) -> None:
    provider = Provider(status(429, Retry_After=value))
    with pytest.raises(SourceUnavailable, match="asks to be left alone"):
        provider.get()
    assert len(provider.asked) == 1
    assert provider.slept == []


def test_a_glance_gives_up_before_a_sensor_tick_ends() -> None:
    longest = GLANCE.tries * (GLANCE.connect_seconds + GLANCE.read_seconds) + GLANCE.longest_wait
    assert longest < 50
    provider = Provider(status(429, Retry_After="30"))
    with pytest.raises(SourceUnavailable):
        provider.get(patience=GLANCE)
    assert provider.slept == []


def test_requests_are_spaced_by_the_configured_pause() -> None:
    provider = Provider(ok)
    with provider.transport(pause_seconds=0.3) as transport:
        for _ in range(3):
            transport.get(URL, params={}, headers={})
    assert provider.slept == [0.3, 0.3]


def test_no_pause_is_no_sleep() -> None:
    provider = Provider(ok)
    with provider.transport() as transport:
        for _ in range(3):
            transport.get(URL, params={}, headers={})
    assert provider.slept == []


def test_429_slows_the_whole_load_down_and_good_answers_bring_it_back() -> None:
    limited = [False]
    provider = Provider(lambda: status(429, Retry_After="0") if limited[0] else ok())

    def request(transport: HttpTransport, patience_left: int = 1) -> None:
        transport.get(URL, params={}, headers={})

    pace = Pace(0.3)
    with provider.transport(
        pace=pace, patience=Patience(tries=3, longest_wait=1, connect_seconds=1, read_seconds=1)
    ) as t:
        request(t)
        assert pace.seconds == 0.3
        limited[0] = True
        with pytest.raises(SourceUnavailable):
            request(t)
        slowed = pace.seconds
        assert slowed == pytest.approx(0.3 + 4 * FIRST_EXTRA_SECONDS)
        limited[0] = False
        request(t)
        assert provider.slept[-1] == pytest.approx(slowed)
        for _ in range(100):
            request(t)
        assert pace.seconds == 0.3


def test_the_pause_is_bounded_however_often_we_are_limited() -> None:
    pace = Pace(0)
    for _ in range(50):
        pace.slow_down()
    assert pace.seconds == MAX_EXTRA_SECONDS


def test_only_429_slows_down() -> None:
    pace = Pace(0)
    provider = Provider(status(500), status(503), httpx.ReadTimeout("x"), ok())
    provider.get(pace=pace)
    assert pace.seconds == 0


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with HttpTransport(source="Vima") as transport:
        mounts = transport._client._mounts
    assert not mounts
