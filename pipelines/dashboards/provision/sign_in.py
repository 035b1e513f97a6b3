"""Into Metabase: a configured API key, the key that was kept, else an administrator's login, for which a key is then
made.

A Metabase without users is set up first (its setup token is public until then). The key that is made is kept in
PSP_HOME/metabase.json, readable by the owner only, beside the passwords of the connections' roles.
"""

import time
from pathlib import Path
from typing import Any

from pipelines.core.errors import DashboardError, SettingsError
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import read_json, write_private_json
from pipelines.core.settings import Settings
from pipelines.dashboards.provision.client import Client, Refused

KEY_NAME = "psp-provisioner"
START_SECONDS = 300.0
POLL_SECONDS = 1.0


class Kept:
    """PSP_HOME/metabase.json: what only this installation knows."""

    def __init__(self, settings: Settings) -> None:
        self.path: Path = settings.psp_home / "metabase.json"
        self._values: dict[str, Any] = read_json(self.path) or {}
        register_secrets([value for value in self._flat() if isinstance(value, str)])

    def _flat(self) -> list[Any]:
        passwords = self._values.get("passwords") or {}
        return [self._values.get("api_key"), *passwords.values()]

    def key(self, url: str) -> str | None:
        """The API key of that Metabase."""
        return self._values.get("api_key") if self._values.get("url") == url else None

    def keep_key(self, url: str, key: str) -> None:
        """Remember the key."""
        register_secrets([key])
        self._save({**self._values, "url": url, "api_key": key})

    def password(self, role: str) -> str | None:
        """The password of a connection's role."""
        found = (self._values.get("passwords") or {}).get(role)
        return str(found) if found else None

    def keep_password(self, role: str, password: str) -> None:
        """Remember the password."""
        register_secrets([password])
        self._save({**self._values, "passwords": {**(self._values.get("passwords") or {}), role: password}})

    def _save(self, values: dict[str, Any]) -> None:
        write_private_json(self.path, values)
        self._values = values


def wait_until_up(client: Client, *, seconds: float = START_SECONDS) -> None:
    """Return when Metabase says that it is well; it takes a minute or two to start."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if (client.get("/api/health") or {}).get("status") == "ok":
                return
        except DashboardError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise DashboardError(f"Metabase at {client.url} does not get well.", fix="look into its log")
        time.sleep(POLL_SECONDS)


def sign_in(client: Client, settings: Settings, kept: Kept, *, dry: bool) -> int:
    """Sign in; the id of the user that we are. Raises SettingsError when nothing opens the door."""
    configured = settings.metabase_api_key.get_secret_value() if settings.metabase_api_key else None
    for key in (configured, kept.key(client.url)):
        if key is None:
            continue
        client.use_key(key)
        try:
            return _administrator(client)
        except Refused as error:
            if error.status != 401 or key == configured:
                raise
    email, password = settings.metabase_admin_email, settings.metabase_admin_password
    if email is None or password is None:
        raise SettingsError(
            "Metabase needs a key or a login.",
            fix="set METABASE_API_KEY, or METABASE_ADMIN_EMAIL and METABASE_ADMIN_PASSWORD for the first time",
        )
    client.use_session(_session(client, email.get_secret_value(), password.get_secret_value(), dry=dry))
    user = _administrator(client)
    if dry:
        return user
    kept.keep_key(client.url, _new_key(client))
    client.use_key(str(kept.key(client.url)))
    return _administrator(client)


def _session(client: Client, email: str, password: str, *, dry: bool) -> str:
    properties = client.get("/api/session/properties")
    if not properties.get("has-user-setup"):
        if dry:
            raise DashboardError("This Metabase has no user yet, so there is nothing to plan.", fix="apply")
        body = {
            "token": properties["setup-token"],
            "user": {"email": email, "password": password, "first_name": "PSP", "last_name": "Administrator"},
            "prefs": {"site_name": "PSP", "site_locale": "en"},
        }
        return str(client.post("/api/setup", body)["id"])
    return str(client.post("/api/session", {"username": email, "password": password})["id"])


def _administrator(client: Client) -> int:
    user = client.get("/api/user/current")
    if not user.get("is_superuser"):
        raise DashboardError("The key or login is no administrator's.", fix="use one of the group Administrators")
    return int(user["id"])


def _new_key(client: Client) -> str:
    """A key of our own. One that was made before, and whose text is lost, is renewed: its user stays the same."""
    for found in client.get("/api/api-key"):
        if found["name"] == KEY_NAME:
            return str(client.put(f"/api/api-key/{found['id']}/regenerate", {})["unmasked_key"])
    groups = client.get("/api/permissions/group")
    administrators = next(item["id"] for item in groups if item["name"] == "Administrators")
    return str(client.post("/api/api-key", {"name": KEY_NAME, "group_id": administrators})["unmasked_key"])
