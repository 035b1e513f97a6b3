"""Who may see the sandbox PayShack: the one account, its tokens, and the two ways in which the provider says no."""

import hmac
import secrets
import time
import uuid
from typing import Any

import msgspec
from starlette.requests import Request

from pipelines.sandbox.payshack_envelope import refusal, to_json

MAX_TOKENS = 1000
CODE_DIGITS = 6


class Refused(Exception):
    """A request that is answered with `success: false`."""

    def __init__(self, status: int, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.body = to_json(refusal(status, message))
        self.http_status = status if http_status is None else http_status


class Doorkeeper:
    """Knows the one account, hands out tokens and judges them. Tokens live in memory and die with the server."""

    def __init__(self, account: dict[str, Any], *, token_minutes: float, with_code: bool = False) -> None:
        """`with_code` asks for a one-time code after the password, as providers do of a browser new to them."""
        self._email, self._password = str(account["email"]), str(account["password"])
        self._lifetime = token_minutes * 60
        self._tokens: dict[str, float] = {}
        self._with_code = with_code
        self._codes: dict[str, str] = {}
        self.user_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"user:{self._email}"))
        self.client_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"reseller:{self._email}"))

    def log_in(self, body: bytes, *, refuse: bool = False) -> dict[str, Any]:
        """The `data` of a successful login. Raises Refused."""
        try:
            given = msgspec.json.decode(body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "email and password are needed") from None
        known = hmac.compare_digest(given.get("email", "").lower().encode(), self._email.lower().encode())
        fits = hmac.compare_digest(given.get("password", "").encode(), self._password.encode())
        if refuse or not (known and fits):
            raise Refused(401, "Invalid email or password", http_status=200)
        if not self._with_code:
            return self._session()
        challenge = secrets.token_urlsafe(12)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        self._codes = {challenge: code}
        # Nobody has a phone here, so the page that asks for the code is also told it.
        return {"otpRequired": True, "challenge": challenge, "sandboxCode": code}

    def enter_code(self, body: bytes) -> dict[str, Any]:
        """The `data` of a login whose one-time code was right. Raises Refused."""
        try:
            given = msgspec.json.decode(body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "challenge and otp are needed") from None
        expected = self._codes.pop(given.get("challenge", ""), None)
        if expected is None or not hmac.compare_digest(given.get("otp", "").encode(), expected.encode()):
            raise Refused(401, "Wrong or expired code", http_status=200)
        return self._session()

    def _session(self) -> dict[str, Any]:
        now = time.monotonic()
        living = {token: until for token, until in self._tokens.items() if until > now}
        self._tokens = dict(list(living.items())[-MAX_TOKENS:])
        token = secrets.token_urlsafe(48)
        self._tokens[token] = now + self._lifetime
        return {
            "userId": self.user_id,
            "clientId": self.client_id,
            "role": "Reseller",
            "email": self._email,
            "secretKey": secrets.token_hex(16),
            "token": token,
            "refreshToken": secrets.token_urlsafe(48),
        }

    def forget(self) -> None:
        """End every session."""
        self._tokens.clear()

    def check(self, request: Request) -> None:
        """Raises Refused unless the request carries a living token and the reseller's own id."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0.0) <= time.monotonic():
            raise Refused(401, "Token is missing or has expired")
        if request.headers.get("reseller-id") != self.client_id:
            raise Refused(403, "This reseller is not yours")
