"""The three forms of an answer, against the writing side that shares no code: whole or refused, never half."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import CipherError
from pipelines.sandbox.payshack_envelope import encrypt_for_merchant, encrypt_with_passphrase, seal
from pipelines.sources.payshack.cipher import ResponseCipher

IV = "invented-iv-0002"
PLACE = "/svc/list"

texts = st.text(max_size=200)
secrets = st.text(min_size=1, max_size=40)
values = st.dictionaries(
    st.text(max_size=8), st.text(max_size=30) | st.integers(-(2**53), 2**53) | st.none(), max_size=5
)


def opened(answer: bytes, secret: str, iv: str | None = IV) -> Any:
    body = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
    checksum = json.loads(bytes(body["checksum"])) if "checksum" in body else None
    return json.loads(ResponseCipher(secret, iv).open(bytes(body["data"]), checksum=checksum, place=PLACE))


def writable(text: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


@given(value=values, secret=secrets, form=st.sampled_from(["plain", "passphrase", "merchant", "mixed"]), request=texts)
def test_what_is_sealed_opens_again(value: dict[str, Any], secret: str, form: Any, request: str) -> None:
    if not writable(json.dumps(value, ensure_ascii=False) + secret + request):
        return
    assert opened(seal(value, envelope=form, request=request, secret=secret, iv=IV), secret) == value


@given(value=values, secret=secrets, cut=st.integers(1, 80))
def test_a_cut_text_never_opens(value: dict[str, Any], secret: str, cut: int) -> None:
    if not writable(json.dumps(value, ensure_ascii=False) + secret):
        return
    text = json.dumps({"rows": [value]}).encode()
    for sealed in (encrypt_with_passphrase(text, secret=secret), encrypt_for_merchant(text, secret=secret, iv=IV)[0]):
        data = json.dumps(sealed[: max(0, len(sealed) - cut)]).encode()
        with pytest.raises(CipherError):
            ResponseCipher(secret, IV).open(data, checksum=None, place=PLACE)


SEALED = encrypt_with_passphrase(b'{"a": "TELLTALE"}', secret="invented-secret")
BODY, CHECKSUM = encrypt_for_merchant(b'{"a": "TELLTALE"}', secret="invented-secret", iv=IV)


@pytest.mark.parametrize(
    ("secret", "iv", "data", "checksum", "says"),
    [
        ("another-secret", IV, SEALED, None, "passphrase form"),
        ("another-secret", IV, BODY, None, "merchant form"),
        ("another-secret", IV, BODY, CHECKSUM, "the checksum does not fit"),
        ("invented-secret", IV, BODY, "0" * 64, "the checksum does not fit"),
        ("invented-secret", "another-iv-00001", BODY, CHECKSUM, "inside is no JSON"),
        ("invented-secret", None, BODY, CHECKSUM, "no IV is set"),
        ("invented-secret", IV, SEALED[:-4], None, "passphrase form"),
        ("invented-secret", IV, SEALED[:20], None, "the text is cut"),
        ("invented-secret", IV, SEALED + "!", None, "no base64"),
        ("invented-secret", IV, BODY[:-4], None, "merchant form"),
        ("invented-secret", IV, "", None, "the text is cut"),
        ("invented-secret", IV, "not base64 at all", None, "no base64"),
        ("invented-secret", IV, encrypt_with_passphrase(b"TELLTALE", secret="invented-secret"), None, "is no JSON"),
        ("invented-secret", IV, encrypt_with_passphrase(b"\xff\xfe", secret="invented-secret"), None, "is no JSON"),
        ("invented-secret", IV, encrypt_with_passphrase(b"", secret="invented-secret"), None, "is no JSON"),
    ],
    # The ciphertexts differ from run to run; processes that share the tests must know them by the same names.
    ids=itertools.count(),
)
def test_what_does_not_open_says_where_and_how_but_not_what(
    secret: str, iv: str | None, data: str, checksum: str | None, says: str
) -> None:
    with pytest.raises(CipherError, match=says) as caught:
        ResponseCipher(secret, iv).open(json.dumps(data).encode(), checksum=checksum, place=PLACE)
    told = str(caught.value)
    assert PLACE in told
    assert "Fix: " in told
    for never in ("TELLTALE", "invented-secret", "another-secret", IV, SEALED[:16], BODY[:16]):
        assert never not in told


def test_plain_answers_pass_as_they_are() -> None:
    cipher = ResponseCipher("invented-secret", None)
    for data in (b'{"a":1}', b"[]", b'  {"a": 1.50}'):
        assert cipher.open(data, checksum=None, place=PLACE) is data


def test_one_unstorable_record_inside_a_cipher_does_not_close_it() -> None:
    text = rb'{"transactions":[{"payerName":"cut \ud83d"}],"totalRecords":1}'
    for sealed in (text, json.dumps(text.decode()).encode()):
        data = json.dumps(encrypt_with_passphrase(sealed, secret="invented-secret")).encode()
        assert ResponseCipher("invented-secret", IV).open(data, checksum=None, place=PLACE) == text


def test_a_checksum_may_be_written_in_capitals() -> None:
    data = json.dumps(BODY).encode()
    assert ResponseCipher("invented-secret", IV).open(data, checksum=CHECKSUM.upper(), place=PLACE)
