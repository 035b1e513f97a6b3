"""The three forms in which PayShack delivers `data`, told apart per answer.

plain        a JSON object or array
passphrase   CryptoJS text: base64 of `Salted__`, 8 bytes of salt, AES-256-CBC; key and IV by EVP_BytesToKey (MD5, once)
merchant     base64 of AES-256-CBC; key = first 32 characters of the hex SHA-256 of the secret, IV a configured text;
             a `checksum` beside it is the hex HMAC-SHA256 of the base64 text with the secret
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import msgspec
from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

from pipelines.core.errors import CipherError, SourceContractError
from pipelines.sources.common.json_text import decode

PASSPHRASE_PREFIX = "U2FsdGVkX1"  # noqa: S105 - what base64 makes of `Salted__`
_SALTED = b"Salted__"

_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder(msgspec.Raw)


@dataclass(frozen=True, slots=True)
class ResponseCipher:
    """Opens answers with the configured secret. Raises CipherError naming the place and the form, never the content."""

    secret: str
    iv: str | None

    def open(self, data: bytes, *, checksum: str | None, place: str) -> bytes:
        """JSON bytes of `data`, the raw JSON of the envelope's field: object, array or encrypted string."""
        if data.lstrip()[:1] in (b"{", b"["):
            return data
        try:
            text = msgspec.json.decode(data, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SourceContractError(
                f"PayShack's answer from {place} holds neither records nor text.",
                fix="compare it with docs/sources/payshack.md",
            ) from None
        if text.startswith(PASSPHRASE_PREFIX):
            return self._checked_json(self._open_passphrase(text, place), "passphrase", place)
        self._verify(text, checksum, place)
        return self._checked_json(self._open_merchant(text, place), "merchant", place)

    def _open_passphrase(self, text: str, place: str) -> bytes:
        sealed = _from_base64(text, "passphrase", place)
        if len(sealed) < 32 or sealed[:8] != _SALTED or len(sealed) % 16:
            raise _broken("passphrase", place, "the text is cut")
        key, iv = derive_key_and_iv(self.secret.encode(), sealed[8:16])
        return _decrypt(sealed[16:], key, iv, "passphrase", place)

    def _open_merchant(self, text: str, place: str) -> bytes:
        if self.iv is None:
            raise CipherError(
                f"PayShack's answer from {place} is in the merchant form, for which no IV is set.",
                fix="set PAYSHACK_RESPONSE_IV",
            )
        sealed = _from_base64(text, "merchant", place)
        if not sealed or len(sealed) % 16:
            raise _broken("merchant", place, "the text is cut")
        key = hashlib.sha256(self.secret.encode()).hexdigest()[:32].encode()
        return _decrypt(sealed, key, self.iv.encode(), "merchant", place)

    def _verify(self, text: str, checksum: str | None, place: str) -> None:
        if checksum is None:
            return
        expected = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, checksum.lower()):
            raise _broken("merchant", place, "the checksum does not fit")

    def _checked_json(self, opened: bytes, scheme: str, place: str) -> bytes:
        """`opened` if it is JSON; text that was JSON-encoded twice is unwrapped once more."""
        try:
            if opened[:1] == b'"':
                text: str = decode(_text, opened)
                opened = text.encode()
            decode(_any, opened)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _broken(scheme, place, "inside is no JSON") from None
        return opened


def derive_key_and_iv(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """OpenSSL's EVP_BytesToKey with MD5 and one round: 32 bytes of key, 16 of IV."""
    material, block = b"", b""
    while len(material) < 48:
        block = hashlib.md5(block + passphrase + salt).digest()  # noqa: S324 - the provider's format
        material += block
    return material[:32], material[32:48]


def _decrypt(sealed: bytes, key: bytes, iv: bytes, scheme: str, place: str) -> bytes:
    try:
        opened: bytes = unpad(AES.new(key, AES.MODE_CBC, iv).decrypt(sealed), 16)
    except ValueError:
        raise _broken(scheme, place, "the key does not fit or the text is damaged") from None
    return opened


def _from_base64(text: str, scheme: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _broken(scheme, place, "it is no base64") from None


_FIX = "check PAYSHACK_RESPONSE_SECRET and PAYSHACK_RESPONSE_IV; PayShack may have changed its key"


def _broken(scheme: str, place: str, why: str) -> CipherError:
    return CipherError(f"PayShack's answer from {place} ({scheme} form) cannot be opened: {why}.", fix=_FIX)
