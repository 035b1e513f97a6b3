"""Faults that a sandbox provider can be told to have: switched on over HTTP, counted down, gone by themselves.

    POST /sandbox/faults {"fault": "status", "times": 3, "status": 429, "retry_after": 1}    GET shows what is left
    DELETE /sandbox/faults                                                                   all well again, on time

Only a server that was started with `--faults` has the address. Faults of the line (this module's Wire) bite whatever
is asked, apart from the control itself; faults of the content are asked for by the servers where they make their lists.

| fault | what happens to the next `times` answers |
|---|---|
| status | `status` (429, 500, 503 ...), with `retry_after` seconds where given |
| slow | the answer comes after `seconds` |
| cut | the connection is reset in the middle of the body |
| truncated | the body ends half-way, as if that were all |
| html | an error page with status 200 |
| content_type | the right body, declared as text/plain |
| bloat | the right body, with blanks in front up to `size` bytes |
| deep | arrays within arrays within arrays, and nothing else |
| repeat | the answer before it is given once more |
| disorder | the records of a page come in reverse |
| vanish | the newest record of a list of several pages is not there, so older ones move up |
| hurry | the world goes on by `seconds` before each answer, so newer ones push in |
| skew | the provider's clock is off by `seconds`, for as long as the fault is there, however often it is asked |
| tokens | every session is forgotten (PayShack) |
| refuse_login | the right password is refused (PayShack) |
| wrong_key | answers are encrypted with another secret (PayShack) |
| robots | who is no browser is refused with HTTP 403, however often, until it is taken back (PayShack) |
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.core.clock import Clock

CONTROL_PATH = "/sandbox/faults"
Name = Literal[
    "status",
    "slow",
    "cut",
    "truncated",
    "html",
    "content_type",
    "bloat",
    "deep",
    "repeat",
    "disorder",
    "vanish",
    "hurry",
    "skew",
    "tokens",
    "refuse_login",
    "wrong_key",
    "robots",
]
Item = TypeVar("Item")
DEEP = b"[" * 200_000 + b"]" * 200_000
ERROR_PAGE = b"<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"


class Fault(msgspec.Struct, kw_only=True):
    """One fault, for the next `times` answers after `after` good ones."""

    fault: Name
    times: int = 1
    after: int = 0
    status: int = 503
    retry_after: float | None = None
    seconds: float = 1.0
    size: int = 0


class Faults:
    """What is wrong with a provider just now."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._ahead = timedelta(0)

    def add(self, fault: Fault) -> None:
        """Have `fault` from now on, until it is used up."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Be well again, and on time."""
        self._waiting.clear()
        self._ahead = timedelta(0)

    def left(self) -> list[Fault]:
        """Faults that are still to come."""
        return list(self._waiting)

    def lasting(self, name: Name) -> Fault | None:
        """The fault of this name that is there until it is taken back."""
        return next((fault for fault in self._waiting if fault.fault == name), None)

    def take(self, name: Name) -> Fault | None:
        """The fault of this name if it bites now; one of its times is used up."""
        for fault in self._waiting:
            if fault.fault != name:
                continue
            if fault.after > 0:
                fault.after -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._waiting.remove(fault)
            return fault
        return None

    def clock(self, base: Clock) -> Clock:
        """`base`, pushed on whenever the fault `hurry` bites, and off by what `skew` says."""

        def now() -> datetime:
            skew = self.lasting("skew")
            return base() + self._ahead + timedelta(seconds=skew.seconds if skew else 0)

        return now

    def hurry(self) -> None:
        """Called once per list that is asked for."""
        fault = self.take("hurry")
        if fault is not None:
            self._ahead += timedelta(seconds=fault.seconds)

    def rearranged(self, records: list[Item]) -> list[Item]:
        """The records of a page, perhaps not in their order."""
        return records[::-1] if self.take("disorder") else records


class Wire:
    """ASGI middleware: faults of the line, and the control address."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app, self._faults = app, faults
        self._last: tuple[Message, bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == CONTROL_PATH:
            await (await self._control(Request(scope, receive)))(scope, receive, send)
        else:
            await self._faulty(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._faults.add(msgspec.json.decode(await request.body(), type=Fault))
            except msgspec.MsgspecError as error:
                return JSONResponse({"error": str(error), "known": get_args(Name)}, status_code=400)
        elif request.method == "DELETE":
            self._faults.clear()
        return Response(msgspec.json.encode(self._faults.left()), media_type="application/json")

    async def _faulty(self, scope: Scope, receive: Receive, send: Send) -> None:
        slow = self._faults.take("slow")
        if slow:
            await asyncio.sleep(slow.seconds)
        status = self._faults.take("status")
        if status:
            headers = {} if status.retry_after is None else {"Retry-After": f"{status.retry_after:g}"}
            await JSONResponse({"error": "as told"}, status_code=status.status, headers=headers)(scope, receive, send)
            return
        if self._faults.take("deep"):
            await Response(DEEP, media_type="application/json")(scope, receive, send)
            return
        if self._faults.take("html"):
            await Response(ERROR_PAGE, media_type="text/html")(scope, receive, send)
            return
        start, body = await self._answer(scope, receive)
        if self._faults.take("cut"):
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            # An answer that ends before its length makes the server drop the connection.
            raise ConnectionResetError("cut, as told")
        if self._faults.take("truncated"):
            body = body[: len(body) // 2]
            start = _with_header(start, b"content-length", str(len(body)).encode())
        bloat = self._faults.take("bloat")
        if bloat:
            body = body.rjust(bloat.size)
            start = _with_header(start, b"content-length", str(len(body)).encode())
        if self._faults.take("content_type"):
            start = _with_header(start, b"content-type", b"text/plain")
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        if self._last is not None and self._faults.take("repeat"):
            return self._last
        messages: list[Any] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        self._last = (messages[0], body)
        return self._last


def _with_header(start: Message, name: bytes, value: bytes) -> Message:
    kept = [(key, old) for key, old in start["headers"] if key.lower() != name]
    return {**start, "headers": [*kept, (name, value)]}
