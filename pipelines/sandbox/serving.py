"""Serving a sandbox provider: one uvicorn on loopback, ended by SIGTERM or SIGINT without a fuss."""

import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from pipelines.core.errors import PortInUseError


def serve_app(app: Any, *, url: str, provider: str, setting: str) -> None:
    """Serve `app` at the port of `url` until asked to stop. Raises PortInUseError before anything is served."""
    port = urlsplit(url).port or 80
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"Port {port} for the sandbox {provider} cannot be listened on ({error.strerror}).",
            fix=f"stop what uses it, or set {setting} to another port",
        ) from None
    config = uvicorn.Config(app, access_log=False, log_level="warning", lifespan="off", timeout_graceful_shutdown=3)
    # uvicorn raises the signal again after it has stopped; being asked to stop is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])
