"""The sandbox providers, each answer made once and then given from memory: `python -m tests.prerendered vima|payshack`.

    request -> known? the same bytes again : the sandbox's own application, and remembered

For measurements in which the provider must not be the limit. The world has to stand still (PSP_NOW); what is posted,
and what is refused, is never remembered.
"""

import sys
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.core.settings import load_settings
from pipelines.sandbox import payshack_server, vima_server
from pipelines.sandbox.books import PayShackBooks, VimaBooks
from pipelines.sandbox.serving import serve_app
from pipelines.sandbox.state import ensure_state, open_world


class Memory:
    """ASGI middleware: what was answered to an address before is answered again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[tuple[str, bytes], list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        asked = (scope["path"], scope["query_string"])
        if asked not in self._known:
            messages: list[Message] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await self._app(scope, receive, keep)
            if messages[0]["status"] != 200:
                for message in messages:
                    await send(message)
                return
            self._known[asked] = messages
        for message in self._known[asked]:
            await send(message)


def main() -> None:
    """Serve one provider in the foreground until SIGTERM, with the settings of the environment."""
    name = sys.argv[1]
    settings = load_settings()
    state = ensure_state(settings)
    world = open_world(state)
    app: Any
    if name == "vima":
        url, app = state["vima"]["base_url"], vima_server.create_app(VimaBooks(world), state, clock=settings.clock)
    else:
        url = state["payshack"]["portal_url"]
        app = payshack_server.create_app(
            PayShackBooks(world), state, clock=settings.clock, envelope="mixed", token_minutes=600
        )
    serve_app(Memory(app), url=url, provider=name, setting=f"PSP_SANDBOX_{name.upper()}_PORT")


if __name__ == "__main__":
    main()
