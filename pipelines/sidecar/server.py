"""The process: takes the port before anything else, serves, and ends cleanly on SIGTERM or Ctrl-C with exit code 0."""

import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn

from pipelines.core.errors import PortInUseError
from pipelines.core.redaction import RedactingFilter
from pipelines.core.settings import Settings
from pipelines.sidecar.app import create_app

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 5
STUCK_CLIENT_SECONDS = 60
MAX_MESSAGE_BYTES = 16 * 1024


def serve(settings: Settings, *, host: str = HOST) -> None:
    """Serve until told to stop. Raises PortInUseError, SettingsError or DatabaseError before the first request."""
    with _listen(host, settings.psp_sidecar_port) as listener:
        _log_redacted()
        config = uvicorn.Config(
            create_app(settings),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
        )
        # uvicorn raises the signal that ended it once more when it is done: by then it has been obeyed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _obeyed)
        logging.getLogger("pipelines.sidecar").info("Sidecar on http://%s:%s", host, settings.psp_sidecar_port)
        uvicorn.Server(config).run(sockets=[listener])


def _obeyed(number: int, frame: FrameType | None) -> None:
    return


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A client that takes nothing for so long is cut off by the kernel, whatever the server waits for.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_CLIENT_SECONDS * 1000)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"The sidecar cannot listen on {host}:{port} ({error.strerror}).",
            fix="stop what uses the port, or set PSP_SIDECAR_PORT to a free one",
        ) from None
    return listener


def _log_redacted() -> None:
    """One line per event on standard error, without secrets and personal data."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # Its lines hold whole URLs, and its failures are told by whoever waits for a connection.
    for name in ("httpx", "httpcore", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Each socket that opens and closes would be three lines.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
