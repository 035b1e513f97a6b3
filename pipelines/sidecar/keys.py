"""API keys: made once, shown once, kept hashed.

    psp_<key id>_<secret>  ->  PSP_HOME/api_keys.json (or PSP_API_KEYS_FILE), owner-only:
                               {"keys": [{"id", "name", "sha256", "scopes", "created_at", "expires_at"}]}

The secret is 32 random bytes, so one round of SHA-256 is enough: there is nothing to guess. The file is read again when
it changes, so a revoked key stops at once. Expiry goes by the platform's clock.
"""

import fcntl
import hashlib
import hmac
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ValidationError

from pipelines.core.clock import Clock
from pipelines.core.errors import SettingsError
from pipelines.core.runtime import read_json, write_private_json
from pipelines.core.settings import Settings

Scope = Literal["read", "export", "operate", "pii"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

SANDBOX_KEY = "sandbox"
DEFAULT_DAYS = 90
PREFIX = "psp"


class ApiKey(BaseModel, frozen=True):
    """A key as it is kept. `name` is what the audit trail shows."""

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created_at: AwareDatetime
    expires_at: AwareDatetime


class KeyFile(BaseModel, frozen=True):
    """The whole file."""

    keys: tuple[ApiKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a presented key is worth: the key, or why not."""

    key: ApiKey | None
    problem: str = ""


class KeyRing:
    """The keys of a running process, following the file."""

    def __init__(self, settings: Settings) -> None:
        self._path = keys_file(settings)
        self._clock: Clock = settings.clock
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def check(self, presented: str) -> Verdict:
        """Judge a key as it came. Raises SettingsError when the file cannot be trusted or read."""
        self._follow()
        key_id, secret = _split(presented)
        key = self._keys.get(key_id)
        # A digest is compared in any case, so that time does not tell a known id from an unknown one.
        matches = hmac.compare_digest(_digest(secret), key.sha256 if key else _digest(""))
        if key is None or not matches:
            return Verdict(None, "The API key is not known. Ask for one, or make one as docs/sidecar.md says.")
        return self._unless_expired(key)

    def recheck(self, key: ApiKey) -> Verdict:
        """Whether a key that was good still is."""
        self._follow()
        if self._keys.get(key.id) != key:
            return Verdict(None, "The API key has been revoked.")
        return self._unless_expired(key)

    def _unless_expired(self, key: ApiKey) -> Verdict:
        if key.expires_at <= self._clock():
            return Verdict(None, f"The API key expired at {key.expires_at.isoformat()}. Make a new one.")
        return Verdict(key)

    def _follow(self) -> None:
        try:
            found = self._path.stat()
        except OSError:
            self._stamp, self._keys = None, {}
            return
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._keys = {key.id: key for key in _read(self._path).keys}
            self._stamp = stamp


def keys_file(settings: Settings) -> Path:
    """Where the keys are kept."""
    return settings.psp_api_keys_file or settings.psp_home / "api_keys.json"


def create_key(settings: Settings, *, name: str, scopes: Sequence[Scope], days: int = DEFAULT_DAYS) -> str:
    """Make a key and return it; it cannot be shown again. Raises SettingsError when a live key has the name."""
    now = settings.clock()
    with _changing(settings) as known:
        kept = [key for key in known if key.expires_at > now]
        if any(key.name == name for key in kept):
            raise SettingsError(f"There is already an API key named {name}.", fix="revoke it or take another name")
        text, key = _new_key(name, scopes, now, days)
        _write(settings, [*kept, key])
    return text


def revoke_key(settings: Settings, name: str) -> bool:
    """Forget the key of that name; it stops working at once. False when there is none."""
    with _changing(settings) as known:
        kept = [key for key in known if key.name != name]
        if len(kept) == len(known):
            return False
        _write(settings, kept)
    return True


def list_keys(settings: Settings) -> list[ApiKey]:
    """All kept keys, also expired ones."""
    return list(_read(keys_file(settings)).keys)


def ensure_sandbox_key(settings: Settings) -> str | None:
    """One key with all scopes for a start on invented data; returned only when it has just been made.

    None when a live one exists (it was shown when it was made), and where a source is real: there, a person decides.
    """
    if not (settings.vima_is_sandbox and settings.payshack_is_sandbox):
        return None
    now = settings.clock()
    with _changing(settings) as known:
        if any(key.name == SANDBOX_KEY and key.expires_at > now for key in known):
            return None
        text, key = _new_key(SANDBOX_KEY, SCOPES, now, DEFAULT_DAYS)
        _write(settings, [*(key for key in known if key.name != SANDBOX_KEY), key])
    return text


def _new_key(name: str, scopes: Sequence[Scope], now: datetime, days: int) -> tuple[str, ApiKey]:
    if not name.strip() or days < 1 or not scopes or set(scopes) - set(SCOPES):
        raise SettingsError(
            "An API key needs a name, scopes and a life of a day or more.", fix=f"scopes are {', '.join(SCOPES)}"
        )
    # Hex: the underscore separates, and may be in a secret.
    key_id, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
    key = ApiKey(
        id=key_id,
        name=name.strip(),
        sha256=_digest(secret),
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    return f"{PREFIX}_{key_id}_{secret}", key


def _split(presented: str) -> tuple[str, str]:
    prefix, _, rest = presented.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == PREFIX else ("", "")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _changing(settings: Settings) -> Iterator[list[ApiKey]]:
    """The keys as they are, while no other process changes them."""
    path = keys_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise SettingsError(
            f"The API keys cannot be written ({error.strerror}).", fix="correct PSP_API_KEYS_FILE or its permissions"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield list(_read(path).keys)


def _write(settings: Settings, keys: list[ApiKey]) -> None:
    write_private_json(keys_file(settings), KeyFile(keys=tuple(keys)).model_dump(mode="json"))


def _read(path: Path) -> KeyFile:
    content = read_json(path)
    if content is None:
        return KeyFile()
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(f"Others may write {path.name}, so its keys cannot be trusted.", fix=f"chmod 600 {path}")
    try:
        return KeyFile.model_validate(content)
    except ValidationError:
        raise SettingsError(f"{path.name} does not hold API keys.", fix="delete it and make new keys") from None
