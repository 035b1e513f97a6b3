"""WS /ws/updates, and the tickets that open it for clients that cannot set a header, such as browsers.

    Authorization: Bearer <key>                         a program
    Sec-WebSocket-Protocol: psp.v1, ticket.<ticket>     a browser: new WebSocket(url, ["psp.v1", "ticket." + ticket])

Who is let in is decided before the handshake is accepted, and nothing secret is in the URL.
"""

import asyncio
import json
from contextlib import suppress

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect

from pipelines.sidecar.answers import Answer, Strict, respond
from pipelines.sidecar.auth import TICKET_SECONDS, Caller, Gate, ReadCaller, bearer_of, gate
from pipelines.sidecar.database import Database
from pipelines.sidecar.errors import ApiError, TooManyRequests, error_response, translate
from pipelines.sidecar.live import EVENTS, Client, Feed, known, message

router = APIRouter(prefix="/ws", tags=["live"])
socket_router = APIRouter()

PROTOCOL = "psp.v1"
TICKET_PREFIX = "ticket."
CHECK_SECONDS = 5.0
CLOSE_SECONDS = 2.0

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class Ticket(Strict):
    """Opens one WebSocket, once, soon."""

    ticket: str
    expires_in: int


@router.post("/ticket", response_model=Answer[Ticket])
async def ticket(request: Request, caller: ReadCaller) -> Response:
    """A ticket for a client that cannot send its key as a header."""
    database: Database = request.app.state.database
    issued = {"ticket": gate(request).issue_ticket(caller), "expires_in": TICKET_SECONDS}
    return respond(request, issued, await database.freshness())


@socket_router.websocket("/ws/updates")
async def updates(websocket: WebSocket) -> None:
    """The live feed, for as long as the client keeps up and its key is good."""
    feed: Feed = websocket.app.state.feed
    database: Database = websocket.app.state.database
    try:
        caller = _admitted(websocket)
        client = feed.join()
        if client is None:
            raise TooManyRequests("Too many live clients.", retry_after_seconds=30)
    except Exception as error:
        await websocket.send_denial_response(error_response(translate(error)))
        return
    try:
        await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None)
        fresh = await database.freshness()
        client.give(
            message(
                "connected",
                {"as_of": fresh.as_of, "stale": fresh.is_stale(websocket.app.state.settings.clock()), "events": EVENTS},
            )
        )
        code = await _talk(websocket, client, caller)
        if code is not None:
            # To one that is stuck not even this gets through.
            with suppress(asyncio.TimeoutError, RuntimeError):
                await asyncio.wait_for(websocket.close(code), CLOSE_SECONDS)
    except WebSocketDisconnect:
        pass
    finally:
        feed.leave(client)


def _admitted(websocket: WebSocket) -> Caller:
    door: Gate = gate(websocket)
    for protocol in websocket.scope["subprotocols"]:
        if protocol.startswith(TICKET_PREFIX):
            return door.redeem(protocol.removeprefix(TICKET_PREFIX))
    return door.admit(bearer_of(websocket.headers.items()), "read")


async def _talk(websocket: WebSocket, client: Client, caller: Caller) -> int | None:
    """Send and receive until either side ends it. Returns the code to close with, None when the client has left."""
    tasks = {
        asyncio.create_task(_send(websocket, client)): None,
        asyncio.create_task(_receive(websocket, client)): None,
        asyncio.create_task(client.dropped.wait()): TRY_AGAIN_LATER,
        asyncio.create_task(_until_revoked(gate(websocket), caller)): POLICY_VIOLATION,
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next((tasks[task] for task in done if tasks[task] is not None), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(websocket: WebSocket, client: Client) -> None:
    while True:
        await websocket.send_text(await client.next())


async def _receive(websocket: WebSocket, client: Client) -> None:
    while True:
        try:
            asked = json.loads(await websocket.receive_text())
            kind = asked.get("type")
        except (ValueError, AttributeError, KeyError):
            client.give(_refusal("A message is a JSON object with a type."))
            continue
        if kind == "ping":
            client.give(message("pong", {}))
        elif kind == "subscribe":
            _subscribe(client, asked)
        else:
            client.give(_refusal("Known types are subscribe and ping."))


def _subscribe(client: Client, asked: dict[str, object]) -> None:
    """The events asked for are the ones from now on, of the projects that are named, or of all."""
    events, projects = _names(asked.get("events")), _names(asked.get("projects"))
    wanted = known(events) if events is not None else None
    if wanted is None:
        client.give(_refusal(f"events is a list out of {', '.join(EVENTS)}."))
        return
    if projects is None and asked.get("projects") is not None:
        client.give(_refusal("projects is a list of names."))
        return
    client.events, client.projects = wanted, projects
    told = None if projects is None else sorted(projects)
    client.give(message("subscribed", {"events": sorted(wanted), "projects": told}))


def _names(given: object) -> frozenset[str] | None:
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        return None
    return frozenset(given)


async def _until_revoked(door: Gate, caller: Caller) -> None:
    with suppress(ApiError):
        while door.still_admitted(caller):
            await asyncio.sleep(CHECK_SECONDS)


def _refusal(problem: str) -> str:
    return message("error", {"code": "VALIDATION_ERROR", "message": problem})
