"""Nothing secret or personal leaves in a text: by pattern, and by the very secrets of this process."""

import io
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core import redaction
from pipelines.core.redaction import MASK, RedactingFilter, redact, register_secrets


@pytest.fixture(autouse=True)
def _own_literals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_literals", set())


@pytest.mark.parametrize(
    "text",
    [
        "GET http://h/operation?count=1&apikey=TELLTALE&x=1",
        "access_token=TELLTALE",
        "host=h password='TELLTALE x' user=u",
        "{'Authorization': 'Bearer TELLTALE', 'a': 'b'}",
        '{"token": "TELLTALE", "n": 1}',
        r'{"token": "x\"TELLTALE"}',
        r"{\"refreshToken\": \"TELLTALE\", \"k\": 1}",
        '{"data": {"secretKey":"TELLTALE"}}',
        "Authorization: Bearer TELLTALE",
        "Cookie: sid=TELLTALE; other=1",
        "Set-Cookie: sid=TELLTALE; HttpOnly",
        "x-api-key: TELLTALE",
        "Basic VEVMTFRBTEU6VEVMTFRBTEU=",
        "postgresql://user:TELLTALE@host:5432/db",
        "postgresql+psycopg2://user:TELLTALE@host/db",
        "http://:TELLTALE@host/",
        "from TELLTALE@mail.example to",
        "paid by TELLTALE@upi",
        "call +919876543210 now",
    ],
)
def test_secrets_and_people_are_masked_by_pattern(text: str) -> None:
    masked = redact(text)
    assert "TELLTALE" not in masked
    assert "VEVMTFRBTEU" not in masked
    assert "9876543210" not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "3 of 5 pages read; status=success",
        "Basic authentication is supported",
        "the token has expired",
        "order ORDER00000001 of 2026-01-15T15:46:20.195Z",
        "127.0.0.1:8701/operation answered HTTP 500",
    ],
)
def test_plain_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_the_secrets_of_this_process_are_masked_however_they_are_written() -> None:
    register_secrets(['pa ss/w"ord+', None, ""])
    for written in ('pa ss/w"ord+', "pa%20ss%2Fw%22ord%2B", "pa+ss%2Fw%22ord%2B", 'pa ss/w\\"ord+'):
        assert redact(f"<{written}>") == f"<{MASK}>"


def test_very_short_secrets_do_not_blank_out_words() -> None:
    register_secrets(["abc"])
    assert redact("abc") == "abc"


def test_a_secret_within_a_secret_leaves_no_rest() -> None:
    register_secrets(["invented", "invented-and-longer"])
    assert redact("x invented-and-longer y") == f"x {MASK} y"


@given(text=st.text(max_size=300))
def test_redaction_is_idempotent(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("text", ["x" * 100_000, "a." * 50_000, "token" * 20_000, '"' * 50_000, "\\" * 50_000])
def test_no_text_makes_redaction_slow(text: str) -> None:
    began = time.monotonic()
    redact(text)
    assert time.monotonic() - began < 10


def logged(log: logging.Logger, act: str) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    log.handlers, log.propagate = [handler], False
    if act == "arguments":
        log.warning("asked %s with %s", "http://h/?apikey=TELLTALE", {"token": "TELLTALE"})
    elif act == "exception":
        try:
            raise ValueError("password=TELLTALE")
        except ValueError:
            log.exception("it failed for TELLTALE@mail.example")
    elif act == "stack":
        log.warning("x", stack_info=True)
    else:
        logging.raiseExceptions = False
        try:
            log.warning("%d of %d", 1)
        finally:
            logging.raiseExceptions = True
        log.warning("still alive")
    return stream.getvalue()


@pytest.mark.parametrize("act", ["arguments", "exception", "stack"])
def test_log_handlers_write_no_secret(act: str) -> None:
    text = logged(logging.getLogger("test.redaction"), act)
    assert "TELLTALE" not in text
    assert act != "exception" or "Traceback" in text


def test_a_broken_log_call_does_not_stop_the_caller() -> None:
    assert "still alive" in logged(logging.getLogger("test.redaction"), "broken")
