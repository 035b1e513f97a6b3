"""Wraps what the sandbox PayShack answers: plain, CryptoJS passphrase form, merchant form, or a mix of them.

    record objects -> JSON text -> (encrypt) -> {"success", "statusCode", "message", "data"[, "checksum"]}

Written from the wire format alone and without the reading side's code, so that each tests the other.
"""

import base64
import hashlib
import hmac
import os
import zlib
from typing import Any, Literal

import msgspec
from Crypto.Cipher import AES

from pipelines.core.errors import SettingsError

Envelope = Literal["plain", "passphrase", "merchant", "mixed"]
FORMS: tuple[Envelope, ...] = ("plain", "passphrase", "merchant")

_encoder = msgspec.json.Encoder(decimal_format="number")


def to_json(value: object) -> bytes:
    """JSON text of `value`; Decimals become numbers with the digits that they have."""
    return _encoder.encode(value)


def choose_form(envelope: Envelope, request: str) -> tuple[Envelope, bool]:
    """The form for this request and whether its text is JSON-encoded twice.

    `mixed` goes by the request's own text, so the same request is always answered in the same form.
    """
    if envelope != "mixed":
        return envelope, False
    draw = zlib.crc32(request.encode())
    return FORMS[draw % 3], draw // 3 % 2 == 1


def encrypt_with_passphrase(text: bytes, *, secret: str, salt: bytes | None = None) -> str:
    """What `CryptoJS.AES.encrypt(text, secret).toString()` gives."""
    salt = os.urandom(8) if salt is None else salt
    material = [b""]
    for _ in range(3):  # 3 MD5 digests = 32 bytes of key + 16 of IV
        material.append(hashlib.md5(material[-1] + secret.encode() + salt, usedforsecurity=False).digest())
    stream = b"".join(material)
    sealed = AES.new(stream[:32], AES.MODE_CBC, iv=stream[32:48]).encrypt(_padded(text))
    return base64.b64encode(b"Salted__" + salt + sealed).decode()


def encrypt_for_merchant(text: bytes, *, secret: str, iv: str) -> tuple[str, str]:
    """The merchant API's `encryptedBody` and its `checksum`."""
    key = hashlib.sha256(secret.encode()).hexdigest()[:32].encode()
    body = base64.b64encode(AES.new(key, AES.MODE_CBC, iv=iv.encode()).encrypt(_padded(text))).decode()
    return body, hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def seal(data: object, *, envelope: Envelope, request: str, secret: str, iv: str | None) -> bytes:
    """A whole successful answer around `data`."""
    text = to_json(data)
    form, twice = choose_form(envelope, request)
    head = b'{"success":true,"statusCode":200,"message":"Success","data":'
    if form == "plain":
        return head + text + b"}"
    if twice:
        text = to_json(text.decode())
    if form == "passphrase":
        return head + b'"' + encrypt_with_passphrase(text, secret=secret).encode() + b'"}'
    if iv is None:
        raise SettingsError(
            "The merchant envelope needs an IV and the sandbox state has none.",
            fix="delete sandbox.json and start the sandbox again",
        )
    body, checksum = encrypt_for_merchant(text, secret=secret, iv=iv)
    return head + f'"{body}","checksum":"{checksum}"}}'.encode()


def refusal(status_code: int, message: str) -> dict[str, Any]:
    """The body of an answer that says no."""
    return {"success": False, "statusCode": status_code, "message": message, "data": None}


def _padded(text: bytes) -> bytes:
    missing = 16 - len(text) % 16
    return text + bytes([missing]) * missing
