"""The kept portal session: reused until it expires, one login at a time, none while too many were refused.

    PSP_HOME/payshack/session.json   token, reseller id, cookies, user agent, expiry        (0600)
    PSP_HOME/payshack/breaker.json   refused logins in a row and the end of the cool-down   (0600)
    PSP_HOME/payshack/login.lock     one login at a time across processes

A locked account is worse than late data: after `MAX_REFUSALS` refusals in a row nobody logs in before the cool-down
ends.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from pipelines.core.clock import system_clock
from pipelines.core.errors import SettingsError, SourceAuthError
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import PayShackAccess, read_json, write_private_json
from pipelines.core.settings import Settings
from pipelines.sources.payshack.portal import Session, login

EXPIRY_MARGIN = timedelta(minutes=2)
MAX_REFUSALS = 3
COOL_DOWN = timedelta(minutes=30)


class SessionStore:
    """Keeps the session and the circuit breaker's state under PSP_HOME/payshack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.psp_home / "payshack"

    @property
    def _session_file(self) -> Path:
        return self._folder / "session.json"

    @property
    def _breaker_file(self) -> Path:
        return self._folder / "breaker.json"

    def current(self, access: PayShackAccess) -> Session | None:
        """The kept session while it is valid and belongs to this portal and account; else None."""
        try:
            found = read_json(self._session_file)
            if found is None or found.pop("owner", None) != _owner(access):
                return None
            times = {name: datetime.fromisoformat(found[name]) for name in ("obtained_at", "expires_at")}
            session = Session(**(found | times))
        except (SettingsError, KeyError, TypeError, ValueError):
            # Of another version, or damaged: as good as none.
            return None
        register_secrets([session.token, *(cookie.get("value") for cookie in session.cookies)])
        # A stopped clock must not keep a session alive for ever: expiry is real time.
        return session if system_clock() < session.expires_at - EXPIRY_MARGIN else None

    def forget(self, access: PayShackAccess | None = None, refused: Session | None = None) -> None:
        """Drop the kept session; with `refused` only if it is still that one, and not what somebody else got since."""
        with self._login_lock():
            kept = self.current(access) if access else None
            if refused is None or kept is None or kept.token == refused.token:
                self._session_file.unlink(missing_ok=True)

    def session(
        self,
        access: PayShackAccess,
        *,
        headed: bool = False,
        refused: Session | None = None,
        sign_in: Callable[[], Session] | None = None,
    ) -> Session:
        """The kept session, unless it is the `refused` one, or a new one by `sign_in` (default: a browser of its own).

        One login at a time: who waited takes what the other one got. Raises SourceAuthError, SourceUnavailable,
        SourceContractError or BrowserError.
        """
        with self._login_lock():
            kept = self.current(access)
            if kept is not None and not headed and (refused is None or kept.token != refused.token):
                return kept
            self.refuse_while_cooling()
            try:
                session = sign_in() if sign_in else login(self._settings, access, headed=headed)
            except SourceAuthError:
                self._count_refusal()
                raise
            self._breaker_file.unlink(missing_ok=True)
            times = {name: getattr(session, name).isoformat() for name in ("obtained_at", "expires_at")}
            write_private_json(self._session_file, {**asdict(session), **times, "owner": _owner(access)})
            return session

    @contextmanager
    def _login_lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "login.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def refuse_while_cooling(self) -> None:
        """Raise SourceAuthError while no login may be tried, because too many were refused."""
        refusals, until = self._breaker()
        if until is not None and system_clock() < until:
            raise SourceAuthError(
                f"PayShack refused {refusals} logins in a row; no login is tried before {until:%H:%M} UTC.",
                fix="correct PAYSHACK_EMAIL and PAYSHACK_PASSWORD, then run `psp payshack login --reset`",
            )

    def _breaker(self) -> tuple[int, datetime | None]:
        """Refusals in a row, and until when none is tried. A damaged file counts as a cool-down that starts now."""
        try:
            state = read_json(self._breaker_file) or {}
            until = datetime.fromisoformat(state["until"]) if state.get("until") else None
            return int(state.get("refusals", 0)), until
        except (SettingsError, TypeError, ValueError):
            return MAX_REFUSALS, system_clock() + COOL_DOWN

    def _count_refusal(self) -> None:
        refusals = self._breaker()[0] + 1
        until = (system_clock() + COOL_DOWN).isoformat() if refusals >= MAX_REFUSALS else None
        write_private_json(self._breaker_file, {"refusals": refusals, "until": until})

    def reset_breaker(self) -> None:
        """Allow the next login at once; for a person who has corrected the credentials."""
        self._breaker_file.unlink(missing_ok=True)


def _owner(access: PayShackAccess) -> str:
    """Whose session it is, without saying who that is."""
    whose = "\n".join((access.portal_url, access.api_url, access.email.lower()))
    return hashlib.blake2b(whose.encode(), digest_size=16).hexdigest()
