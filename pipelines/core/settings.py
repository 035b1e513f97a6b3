"""Typed settings from the environment and `.env`; a wrong value stops the start and names the fix.

Any secret may be given as a file instead: `<NAME>_FILE` holds the path (Docker and Kubernetes secrets).
Names of the environment variables are the upper-case field names, listed in docs/operations/settings.md.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from pipelines.core.clock import Clock, fixed_clock, system_clock
from pipelines.core.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parents[2]

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseModel):
    """Everything that can be set. Durations are seconds unless the name says days."""

    model_config = ConfigDict(extra="ignore", frozen=True, validate_default=True)

    psp_database_url: SecretStr | None = None
    psp_home: Path = Path(".psp")
    psp_chromium: Path | None = None
    psp_business_timezone: str = "Asia/Kolkata"
    psp_api_keys_file: Path | None = None
    psp_notify_urls: SecretStr | None = None
    psp_now: datetime | None = None

    psp_dagster_port: Port = 3000
    psp_sidecar_port: Port = 8000
    psp_cors_origins: str | None = None
    psp_dagster_webserver_url: str | None = None
    psp_sandbox_vima_port: Port = 8701
    psp_sandbox_payshack_port: Port = 8702
    psp_sandbox_orders: Annotated[int, Field(ge=1, le=5_000_000)] = 1000
    psp_sandbox_seed: int = 7

    vima_base_url: str | None = None
    vima_api_key: SecretStr | None = None
    vima_poll_seconds: Annotated[int, Field(ge=5, le=3600)] = 60
    vima_page_pause_seconds: Annotated[float, Field(ge=0, le=60)] = 0.3
    vima_parallel_days: Annotated[int, Field(ge=1, le=16)] = 1

    payshack_portal_url: str | None = None
    payshack_api_url: str | None = None
    payshack_email: SecretStr | None = None
    payshack_password: SecretStr | None = None
    payshack_response_secret: SecretStr | None = None
    payshack_response_iv: SecretStr | None = None
    payshack_transport: Literal["http", "browser"] = "http"
    payshack_poll_seconds: Annotated[int, Field(ge=30, le=86400)] = 300
    payshack_lookback_days: Annotated[int, Field(ge=0, le=31)] = 3
    payshack_sweep_days: Annotated[int, Field(ge=1, le=400)] = 45
    payshack_recheck_limit: Annotated[int, Field(ge=0, le=10_000)] = 200
    payshack_page_pause_seconds: Annotated[float, Field(ge=0, le=60)] = 0.3
    payshack_parallel_days: Annotated[int, Field(ge=1, le=16)] = 1

    metabase_url: str | None = None
    metabase_api_key: SecretStr | None = None
    metabase_admin_email: SecretStr | None = None
    metabase_admin_password: SecretStr | None = None
    metabase_database_host: str | None = None
    metabase_database_port: Port | None = None
    metabase_smtp_host: str | None = None
    metabase_smtp_port: Port = 587
    metabase_smtp_security: Literal["none", "ssl", "tls", "starttls"] = "starttls"
    metabase_smtp_username: str | None = None
    metabase_smtp_password: SecretStr | None = None
    metabase_finance_recipients: str | None = None

    @field_validator("psp_home", mode="after")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return (PROJECT_ROOT / value.expanduser()).resolve()

    @field_validator("psp_business_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone; use a name such as Asia/Kolkata")
        return value

    @field_validator("psp_now")
    @classmethod
    def _zoned_now(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("needs a zone; write 2026-01-15T10:00:00Z")
        return value.astimezone(UTC) if value is not None else None

    @field_validator(
        "vima_base_url", "payshack_portal_url", "payshack_api_url", "metabase_url", "psp_dagster_webserver_url"
    )
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        parts = urlsplit(value)
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be a plain address such as https://host.example/path, without ? or #")
        return value.rstrip("/")

    @field_validator("psp_cors_origins")
    @classmethod
    def _plain_origins(cls, value: str | None) -> str | None:
        for origin in (value or "").split(","):
            parts = urlsplit(origin.strip())
            if value is not None and (parts.scheme not in ("http", "https") or origin.strip() != _origin(parts)):
                raise ValueError("must be origins such as https://app.example, separated by commas")
        return value

    @field_validator("psp_database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value

    @field_validator("payshack_response_iv")
    @classmethod
    def _sixteen_bytes(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) != 16:
            raise ValueError("must be exactly 16 bytes of text")
        return value

    @model_validator(mode="after")
    def _real_sources_need_credentials(self) -> "Settings":
        """All or none: half a set of credentials must not end in the sandbox, or in a real place with invented ones."""
        groups = (
            ("vima_base_url", "vima_api_key"),
            (
                "payshack_portal_url",
                "payshack_api_url",
                "payshack_email",
                "payshack_password",
                "payshack_response_secret",
            ),
        )
        for group in groups:
            present = [name.upper() for name in group if getattr(self, name) is not None]
            missing = [name.upper() for name in group if getattr(self, name) is None]
            if present and missing:
                raise ValueError(
                    f"{', '.join(present)} set but not {', '.join(missing)}; set all of them, or none for the sandbox"
                )
        return self

    @property
    def vima_is_sandbox(self) -> bool:
        """Whether Vima is served by the local sandbox because no real address is set."""
        return self.vima_base_url is None

    @property
    def payshack_is_sandbox(self) -> bool:
        """Whether PayShack is served by the local sandbox because no real address is set."""
        return self.payshack_portal_url is None

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """Origins of other web pages that may ask the sidecar."""
        return tuple(origin.strip() for origin in (self.psp_cors_origins or "").split(",") if origin.strip())

    @property
    def dagster_url(self) -> str:
        """Where Dagster's web server is."""
        return self.psp_dagster_webserver_url or f"http://127.0.0.1:{self.psp_dagster_port}"

    @property
    def business_zone(self) -> ZoneInfo:
        """The zone in which business dates are cut; storage stays UTC."""
        return ZoneInfo(self.psp_business_timezone)

    @property
    def finance_recipients(self) -> tuple[str, ...]:
        """Mail addresses that finance's files go to."""
        return tuple(part.strip() for part in (self.metabase_finance_recipients or "").split(",") if part.strip())

    @property
    def clock(self) -> Clock:
        """The clock to ask for "now": stopped at PSP_NOW when that is set."""
        return fixed_clock(self.psp_now) if self.psp_now else system_clock


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """`.env` under the process environment, with `<NAME>_FILE` secrets read from their files. Blank means not set."""
    # A secret may hold `${`: nothing is interpolated.
    given = {**dotenv_values(PROJECT_ROOT / ".env", interpolate=False), **base}
    merged = {name: value for name, value in given.items() if value is not None and value.strip()}
    for name in Settings.model_fields:
        variable = name.upper()
        path = merged.get(f"{variable}_FILE")
        if not path:
            continue
        if merged.get(variable):
            raise SettingsError(f"Both {variable} and {variable}_FILE are set.", fix="keep one of them")
        try:
            merged[variable] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise SettingsError(
                f"{variable}_FILE cannot be read ({reason}).", fix="correct the path or its permissions"
            ) from None
        if not merged[variable]:
            raise SettingsError(f"{variable}_FILE names an empty file.", fix=f"put the value of {variable} into it")
    return merged


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings once, at the start of a process.

    Raises SettingsError naming every wrong variable and its fix; values are left out because they may be secret.
    """
    env = _environment(os.environ if environ is None else environ)
    values = {name: env[name.upper()] for name in Settings.model_fields if name.upper() in env}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']).upper() or 'settings'}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(
            f"Wrong settings: {problems}.", fix="correct the environment or .env and start again"
        ) from None
