"""What `psp doctor` looks at. A check returns what it found, or raises the error that the platform would meet."""

import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx

from pipelines.commands.owner import UP, current_owner
from pipelines.commands.services import LOOPBACK, answers, needed_ports, require_free
from pipelines.core.browser import find_browser, open_browser
from pipelines.core.errors import BrowserError, DatabaseError, PlatformError, SettingsError
from pipelines.core.postgres import LOADER, MINIMUM_SERVER_VERSION, PII_READER, READER, TRANSFORMER, connect
from pipelines.core.runtime import database_url, payshack_access, vima_access
from pipelines.core.settings import PROJECT_ROOT, Settings

State = Literal["ok", "warn", "fail"]

OLDEST_PYTHON, FIRST_UNKNOWN_PYTHON = (3, 11), (3, 14)
TIGHT_BYTES, NEEDED_BYTES = 5 * 1024**3, 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    text: str
    fix: str = ""


Check = Callable[[Settings], Finding]


def run_check(name: str, check: Check, settings: Settings) -> Finding:
    """The finding; an expected failure is one, too."""
    try:
        return check(settings)
    except PlatformError as error:
        return Finding(name=name, state="fail", text=error.message, fix=error.fix)


def check_python(_: Settings) -> Finding:
    """The interpreter is one that the platform is tested on."""
    version = platform.python_version()
    if not OLDEST_PYTHON <= sys.version_info[:2] < FIRST_UNKNOWN_PYTHON:
        raise SettingsError(
            f"Python {version} is not supported.", fix="use Python 3.11, 3.12 or 3.13, `make install` again"
        )
    return Finding(name="Python", state="ok", text=f"{version}, {platform.system()} {platform.machine()}")


def check_settings(settings: Settings) -> Finding:
    """What the settings lead to, and whether others can read the secrets in `.env`."""
    env = PROJECT_ROOT / ".env"
    if env.exists() and env.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return Finding(name="Settings", state="warn", text="other users can read .env", fix="chmod 600 .env")
    vima = "sandbox" if settings.vima_is_sandbox else settings.vima_base_url
    payshack = "sandbox" if settings.payshack_is_sandbox else settings.payshack_portal_url
    stopped = f", the clock stands at {settings.psp_now:%Y-%m-%d %H:%M} UTC" if settings.psp_now else ""
    return Finding(name="Settings", state="ok", text=f"Vima: {vima}; PayShack: {payshack}{stopped}")


def check_home(settings: Settings) -> Finding:
    """PSP_HOME can be written."""
    home = settings.psp_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home):
            pass
    except OSError as error:
        raise SettingsError(
            f"PSP_HOME ({home}) cannot be written ({error.strerror}).",
            fix="set PSP_HOME to a folder that you may write",
        ) from None
    return Finding(name="Home", state="ok", text=str(home))


def check_disk(settings: Settings) -> Finding:
    """There is room for the database and the logs."""
    place = settings.psp_home if settings.psp_home.exists() else settings.psp_home.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GB free"
    if free < NEEDED_BYTES:
        return Finding(name="Disk", state="fail", text=text, fix="free some space, or set PSP_HOME to another disk")
    if free < TIGHT_BYTES:
        return Finding(name="Disk", state="warn", text=text, fix="a long history needs more; see PSP_HOME")
    return Finding(name="Disk", state="ok", text=text)


def check_ports(settings: Settings) -> Finding:
    """The ports are free, or in use by this platform."""
    ports = needed_ports(settings)
    numbers = ", ".join(str(port.number) for port in ports)
    owner = current_owner(settings)
    if owner is not None and owner.command == UP:
        return Finding(name="Ports", state="ok", text=f"{numbers} in use by `{UP}`, process {owner.pid}")
    require_free(ports)
    return Finding(name="Ports", state="ok", text=f"{numbers} are free")


def check_postgres(settings: Settings) -> Finding:
    """The database answers, is new enough, and has its roles, or lets them be made."""
    kind = "embedded" if settings.psp_database_url is None else "PSP_DATABASE_URL"
    with connect(database_url(settings), application="psp-doctor") as connection:
        version = connection.info.server_version // 10000
        if version < MINIMUM_SERVER_VERSION:
            raise DatabaseError(f"PostgreSQL {version} is too old.", fix=f"use {MINIMUM_SERVER_VERSION} or newer")
        roles = [LOADER, TRANSFORMER, READER, PII_READER]
        found = connection.execute(
            "select count(*) filter (where pg_has_role(current_user, rolname, 'member')), count(*) from pg_roles"
            " where rolname = any(%s)",
            (roles,),
        ).fetchone()
        may_make = connection.execute(
            "select (rolsuper or rolcreaterole) and has_database_privilege(current_database(), 'create')"
            " from pg_roles where rolname = current_user"
        ).fetchone()
    mine, known = found or (0, 0)
    text = f"PostgreSQL {version} ({kind})"
    if mine == len(roles):
        return Finding(name="Database", state="ok", text=f"{text}, its {len(roles)} roles are there")
    if known == len(roles):
        raise DatabaseError(
            f"{text}: the user is no member of {', '.join(roles)}.", fix="grant these roles to the user"
        )
    if may_make and may_make[0]:
        return Finding(name="Database", state="ok", text=f"{text}, empty; `psp up` or `psp sync` will lay it out")
    raise DatabaseError(
        f"{text}: the warehouse is not laid out and the user may not do it.",
        fix="use the owner of the database with CREATEROLE, or let an administrator run `psp prepare` once",
    )


def check_browser(settings: Settings) -> Finding:
    """Chromium is there and starts."""
    path = find_browser(settings)
    if path is None:
        raise BrowserError("Chromium is absent.", fix="run `make install`, or set PSP_CHROMIUM to its path")
    with open_browser(settings) as browser:
        return Finding(name="Chromium", state="ok", text=f"{browser.version} starts ({path})")


def check_vima(settings: Settings) -> Finding:
    """Vima answers and takes the key."""
    from pipelines.sources.common.transport import GLANCE, HttpTransport
    from pipelines.sources.vima.client import VimaClient

    access = vima_access(settings)
    with HttpTransport(source="Vima", patience=GLANCE) as transport:
        VimaClient(access, transport).page(from_operation_update_id="0", count=1)
    return Finding(name="Vima", state="ok", text=f"answers at {access.base_url}, the key is accepted")


def check_payshack(settings: Settings) -> Finding:
    """The portal lets us in, the services answer, and what they send can be opened."""
    from pipelines.sources.payshack.client import open_client

    access = payshack_access(settings)
    with open_client(settings, access) as client:
        for flow in ("payin", "payout"):
            client.listing(flow, page=1, limit=1)
    return Finding(name="PayShack", state="ok", text=f"signed in at {access.portal_url}, answers can be opened")


def check_models(settings: Settings) -> Finding:
    """The dbt project can be parsed."""
    from pipelines.defs.model.manifest import parsed_project

    count = sum(node["resource_type"] == "model" for node in parsed_project(settings).as_json()["nodes"].values())
    return Finding(name="Models", state="ok", text=f"{count} models are parsed")


def check_dagster(settings: Settings) -> Finding:
    """The definitions load; while the platform runs, Dagster answers."""
    owner = current_owner(settings)
    if owner is not None and owner.state.get("phase") == "ready":
        url = f"http://{LOOPBACK}:{settings.psp_dagster_port}"
        if not answers(f"{url}/server_info"):
            raise PlatformError(
                f"Dagster does not answer at {url}.", fix=f"see {settings.psp_home / 'logs'}/webserver.log"
            )
        return Finding(name="Dagster", state="ok", text=f"answers at {url}")
    from pipelines.definitions import defs

    repository = defs().get_repository_def()
    count = len(repository.asset_graph.get_all_asset_keys())
    return Finding(name="Dagster", state="ok", text=f"definitions load: {count} assets")


def check_metabase(settings: Settings) -> Finding:
    """Metabase answers, where one is configured."""
    if settings.metabase_url is None:
        return Finding(name="Metabase", state="ok", text="not configured")
    try:
        answer = httpx.get(f"{settings.metabase_url}/api/health", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise PlatformError(
            f"Metabase does not answer at {settings.metabase_url} ({type(error).__name__}).", fix="check METABASE_URL"
        ) from None
    if answer.status_code != 200:
        raise PlatformError(f"Metabase answers HTTP {answer.status_code}.", fix="see its log; it may still be starting")
    return Finding(name="Metabase", state="ok", text=f"answers at {settings.metabase_url}")
