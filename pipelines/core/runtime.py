"""What a running platform needs to know beyond its settings: where the database and the two providers are.

`psp up` (or a test) writes two owner-only files under PSP_HOME when it starts the embedded parts; every other
process (Dagster runs, sidecar, CLI) reads them here, so that there is one way to find things:

    PSP_HOME/postgres.json   {"url": ...}                       embedded PostgreSQL
    PSP_HOME/sandbox.json    {"vima": {...}, "payshack": {...}} sandbox providers, with invented credentials
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.errors import DatabaseError, SettingsError
from pipelines.core.redaction import register_secrets
from pipelines.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class VimaAccess:
    """Where and how to reach the Vima collector API. `page_pause_seconds` is 0 for the sandbox."""

    base_url: str
    api_key: str
    page_pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PayShackAccess:
    """Where and how to reach PayShack. `response_iv` is None where the merchant form is not in use."""

    portal_url: str
    api_url: str
    email: str
    password: str
    response_secret: str
    response_iv: str | None
    transport: str
    page_pause_seconds: float


def write_private_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` atomically, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2)
    temporary = path.with_suffix(f".{secrets.token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, or None when there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, type(error).__name__) from None
    if not isinstance(value, dict):
        raise _unreadable(path, "it is no JSON object")
    return value


def _unreadable(path: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"{path.name} in PSP_HOME cannot be read ({reason}).", fix=f"delete {path.name} and run `psp up` again"
    )


def postgres_file(settings: Settings) -> Path:
    """Where the embedded server's URL is kept."""
    return settings.psp_home / "postgres.json"


def sandbox_file(settings: Settings) -> Path:
    """Where the sandbox providers' addresses and invented credentials are kept."""
    return settings.psp_home / "sandbox.json"


def database_url(settings: Settings) -> str:
    """The libpq URL of the warehouse: PSP_DATABASE_URL, else the embedded server that is running.

    Raises DatabaseError when neither is there.
    """
    if settings.psp_database_url is not None:
        url = settings.psp_database_url.get_secret_value()
    else:
        found = read_json(postgres_file(settings))
        if found is None:
            raise DatabaseError(
                "No database: the embedded PostgreSQL has not been started.",
                fix="run `psp up`, or set PSP_DATABASE_URL",
            )
        url = str(_complete(found, postgres_file(settings), ("url",))["url"])
    register_secrets([url])
    return url


def _sandbox(settings: Settings, source: str, *names: str) -> dict[str, Any]:
    path = sandbox_file(settings)
    found = read_json(path)
    if found is None or source not in found:
        variable = "VIMA_BASE_URL" if source == "vima" else "PAYSHACK_PORTAL_URL"
        raise SettingsError(
            f"{source} has no address: {variable} is not set and the sandbox is not running.",
            fix=f"run `psp up`, or set {variable} and its credentials",
        )
    return _complete(found[source], path, names)


def _complete(value: Any, path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise _unreadable(path, "it is of another version")
    return value


def vima_access(settings: Settings) -> VimaAccess:
    """Address and credentials of Vima: the settings, else the running sandbox. Raises SettingsError."""
    if settings.vima_base_url is not None and settings.vima_api_key is not None:
        access = VimaAccess(
            base_url=settings.vima_base_url,
            api_key=settings.vima_api_key.get_secret_value(),
            page_pause_seconds=settings.vima_page_pause_seconds,
        )
    else:
        found = _sandbox(settings, "vima", "base_url", "api_key")
        access = VimaAccess(base_url=found["base_url"], api_key=found["api_key"], page_pause_seconds=0)
    register_secrets([access.api_key])
    return access


def payshack_access(settings: Settings) -> PayShackAccess:
    """Address and credentials of PayShack: the settings, else the running sandbox. Raises SettingsError."""
    iv = settings.payshack_response_iv
    if (
        settings.payshack_portal_url is not None
        and settings.payshack_api_url is not None
        and settings.payshack_email is not None
        and settings.payshack_password is not None
        and settings.payshack_response_secret is not None
    ):
        access = PayShackAccess(
            portal_url=settings.payshack_portal_url,
            api_url=settings.payshack_api_url,
            email=settings.payshack_email.get_secret_value(),
            password=settings.payshack_password.get_secret_value(),
            response_secret=settings.payshack_response_secret.get_secret_value(),
            response_iv=iv.get_secret_value() if iv else None,
            transport=settings.payshack_transport,
            page_pause_seconds=settings.payshack_page_pause_seconds,
        )
    else:
        found = _sandbox(
            settings, "payshack", "portal_url", "api_url", "email", "password", "response_secret", "response_iv"
        )
        access = PayShackAccess(
            portal_url=found["portal_url"],
            api_url=found["api_url"],
            email=found["email"],
            password=found["password"],
            response_secret=found["response_secret"],
            response_iv=found["response_iv"],
            transport=settings.payshack_transport,
            page_pause_seconds=0,
        )
    register_secrets([access.email, access.password, access.response_secret, access.response_iv])
    return access
