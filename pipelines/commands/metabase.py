"""`psp metabase run`: Metabase from its jar, for those with Java and no containers, set up as in docker-compose.yml.

The command becomes Metabase: signals, output and exit code are its own. Its application database is a database of its
own, `metabase`, on the platform's server; the key that encrypts what it keeps there is made once and stays in PSP_HOME.
"""

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pipelines.commands.console import Screen
from pipelines.commands.services import LOOPBACK, Port, require_free
from pipelines.core import embedded_postgres
from pipelines.core.errors import DashboardError, DatabaseError
from pipelines.core.postgres import connect
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import database_url, read_json, write_private_json
from pipelines.core.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="A Metabase of your own, from its jar.")

DATABASE = "metabase"
JAVA = 21
"""The oldest Java that Metabase 0.63 starts on; its own images bring 25."""

ENVIRONMENT = {
    "MB_DB_TYPE": "postgres",
    "MB_DB_DBNAME": DATABASE,
    "MB_ANON_TRACKING_ENABLED": "false",
    "MB_CHECK_FOR_UPDATES": "false",
    "MB_LOAD_SAMPLE_CONTENT": "false",
    # As in docker-compose.yml: files over 10 MiB are not left out of their mail.
    "MB_NOTIFICATION_TEMP_FILE_SIZE_MAX_BYTES": "0",
    "MB_ATTACHMENT_ROW_LIMIT": "1048575",
}


@app.callback()
def metabase() -> None:
    """Keeps `run` a command of its own, where there is only one."""


@app.command()
def run(
    jar: Annotated[Path, typer.Option("--jar", metavar="PATH", help="metabase.jar, version 0.63.")],
    java: Annotated[str, typer.Option("--java", metavar="PROGRAM", help="Java, by name or by path.")] = "java",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Where it listens, on this machine alone.")
    ] = 3001,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Heap, as Java writes it.")] = "2g",
) -> None:
    """Run Metabase in the foreground from its jar, on loopback, over a database of its own on the platform's server.

    Needs Java 21 or newer, and a database: `psp up` in another terminal, or PSP_DATABASE_URL. Once it answers,
    `METABASE_URL=http://127.0.0.1:3001 psp dashboards apply` fills it. Any MB_ setting of the environment is passed on.

    Example:  psp metabase run --jar ~/Downloads/metabase.jar
    """
    settings, screen = load_settings(), Screen()
    program, jar = find_java(java), find_jar(jar)
    if not re.fullmatch(r"[1-9][0-9]*[kmg]", memory, re.IGNORECASE):
        raise typer.BadParameter("write --memory as 2g or 1500m")
    require_free([Port(number=port, setting="--port", used_by="Metabase")])
    folder = settings.psp_home / "metabase"
    environment = server_environment(settings, folder, port)
    screen.say(f"  Metabase starts; a minute later it answers at http://{LOOPBACK}:{port}")
    screen.say(f"  Then fill it:  METABASE_URL=http://{LOOPBACK}:{port} psp dashboards apply")
    os.chdir(folder)
    arguments = [program, f"-Xmx{memory}", "-jar", str(jar)]
    os.execve(program, arguments, environment)  # noqa: S606 - Java as the user named it, no shell


def find_java(java: str) -> str:
    """The path of a Java that is new enough. Raises DashboardError."""
    program = shutil.which(str(Path(java).expanduser()))
    if program is None:
        raise DashboardError(
            f"There is no Java called {java}.", fix=f"install Java {JAVA} or newer, or name it with --java PATH"
        )
    try:
        told = subprocess.run(  # noqa: S603 - Java as the user named it
            [program, "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DashboardError(f"{program} does not run: {error}.", fix="name another with --java PATH") from None
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    if told.returncode != 0 or found is None:
        raise DashboardError(f"{program} does not tell its version as Java does.", fix="name another with --java PATH")
    if int(found[1]) < JAVA:
        raise DashboardError(
            f"{program} is Java {found[1]}, too old for Metabase.", fix=f"install Java {JAVA} or newer"
        )
    return program


def find_jar(jar: Path) -> Path:
    """The whole path of the jar. Raises DashboardError when it is none."""
    path = jar.expanduser().resolve()
    try:
        with path.open("rb") as file:
            is_archive = file.read(2) == b"PK"
    except OSError as error:
        raise DashboardError(
            f"{path} cannot be read: {error.strerror}.",
            fix="download metabase.jar 0.63 from metabase.com and give its path",
        ) from None
    if not is_archive:
        raise DashboardError(f"{path} is no jar.", fix="download metabase.jar again; it is a ZIP archive of 400 MB")
    return path


def server_environment(settings: Settings, folder: Path, port: int) -> dict[str, str]:
    """What Metabase is told, with its database made if it is not there. Raises DatabaseError."""
    if settings.psp_database_url is None and not embedded_postgres.is_running(settings):
        raise DatabaseError(
            "Metabase needs a database, and none is running.",
            fix="run `psp up` in another terminal first, or set PSP_DATABASE_URL",
        )
    url = database_url(settings)
    with connect(url) as connection:
        connection.autocommit = True
        found = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    parts = conninfo_to_dict(url)
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        **ENVIRONMENT,
        "MB_DB_HOST": str(parts.get("host") or LOOPBACK),
        "MB_DB_PORT": str(parts.get("port") or 5432),
        "MB_DB_USER": str(parts.get("user") or ""),
        "MB_DB_PASS": str(parts.get("password") or ""),
        "MB_ENCRYPTION_SECRET_KEY": _encryption_key(settings),
        "MB_PLUGINS_DIR": str(folder / "plugins"),
    }
    # Secrets of the platform and its sources are no business of Metabase.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    return {**own, **kept, "MB_JETTY_HOST": LOOPBACK, "MB_JETTY_PORT": str(port)}


PRIVATE = ("PSP_", "VIMA_", "PAYSHACK_", "METABASE_")


def _encryption_key(settings: Settings) -> str:
    """Made once: with another one, Metabase could not read the connections that it has kept."""
    path = settings.psp_home / "metabase-server.json"
    known = (read_json(path) or {}).get("encryption_key")
    key = str(known or secrets.token_urlsafe(32))
    if known is None:
        write_private_json(path, {"encryption_key": key})
    register_secrets([key])
    return key
