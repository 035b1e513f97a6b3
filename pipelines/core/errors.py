"""The exception tree. Raised at the layer that knows, translated at boundaries, swallowed nowhere.

PlatformError                every expected failure; `message` says what happened, `fix` what to do
├── SettingsError            a setting is missing, contradictory or malformed
├── DatabaseError            PostgreSQL cannot be started, reached or prepared
├── BrowserError             Chromium is absent or does not start
├── PortInUseError           a port that must be listened on is taken
├── SourceError              a provider misbehaves
│   ├── SourceAuthError      credentials refused; retrying cannot help and may lock the account
│   │   └── SourceForbidden  HTTP 403: it may be the way of asking that is refused, not who asks
│   ├── SourceUnavailable    timeouts, resets, 5xx, 429 after the bounded retries
│   ├── SourceContractError  an answer that is not what the wire format says
│   └── CipherError          an encrypted answer that cannot be opened
├── LoadError                rows could not be committed to the raw log
├── ModelError               a dbt run failed
├── ClosingError             a day may not be closed, or what was signed does not hold
├── DashboardError           a dashboard file that is wrong, or a Metabase that does not do as it is asked
└── ConflictError            the same work is already being done
"""


class PlatformError(Exception):
    """An expected failure with advice. Its text must never hold a secret or personal data."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message


class SettingsError(PlatformError):
    """A setting is missing, contradictory or malformed."""


class DatabaseError(PlatformError):
    """PostgreSQL cannot be started, reached or prepared."""


class BrowserError(PlatformError):
    """Chromium is absent or does not start."""


class PortInUseError(PlatformError):
    """A port that must be listened on is taken by another process."""


class SourceError(PlatformError):
    """A provider misbehaves."""


class SourceAuthError(SourceError):
    """Credentials refused; retrying cannot help and may lock the account."""


class SourceForbidden(SourceAuthError):
    """Refused with HTTP 403: the credentials may be good, and the way of asking unwelcome."""


class SourceUnavailable(SourceError):
    """The provider did not answer usefully within the bounded retries."""


class SourceContractError(SourceError):
    """An answer that is not what the wire format says."""


class CipherError(SourceError):
    """An encrypted answer that cannot be opened: wrong key, cut text, bad padding or checksum."""


class LoadError(PlatformError):
    """Rows could not be committed to the raw log."""


class ModelError(PlatformError):
    """A dbt run failed."""


class ClosingError(PlatformError):
    """A day may not be closed, or what was signed does not hold."""


class DashboardError(PlatformError):
    """A dashboard file that is wrong, or a Metabase that does not do as it is asked."""


class ConflictError(PlatformError):
    """The same work is already being done by another process."""
