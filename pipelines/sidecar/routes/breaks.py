"""Breaks: one with its history, and what a person does about it, through pipelines.breaks.

A decision names the newest event that its maker has seen (`expected_event_number`); when the break has moved on since,
nothing is written and the answer is 409. So a request whose answer was lost may be repeated: it is not done twice.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Path, Request, Response
from psycopg import sql
from pydantic import Field

from pipelines.breaks import actions
from pipelines.breaks.errors import ActionRefused, SecondPersonNeeded, StaleBreak, UnknownBreak
from pipelines.core.errors import PlatformError
from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Answer, ErrorAnswer, Strict, respond
from pipelines.sidecar.auth import OperateCaller, ReadCaller
from pipelines.sidecar.database import Reader
from pipelines.sidecar.errors import ApiError, Conflict, Forbidden, NotFound
from pipelines.sidecar.remembered import NOT_CHANGED, Draft, Revision, remembered
from pipelines.sidecar.shapes import BreakEvent, BreakRow, columns

router = APIRouter(prefix="/breaks", tags=["breaks"])

OPERATOR = "psp_operator"

BreakId = Annotated[str, Path(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
Act = Literal[
    "acknowledge", "assign", "comment", "ask_provider", "explain", "exclude_test", "write_off", "force_match",
    "approve", "reject", "reopen",
]  # fmt: skip

ONE = sql.SQL(
    "select {0} from marts.fct_breaks where break_id = %(id)s"
    " union all select {0} from marts.fct_bank_breaks where break_id = %(id)s"
).format(columns(BreakRow))
EVENTS = sql.SQL("select {} from marts.fct_break_events where break_id = %(id)s order by event_number").format(
    columns(BreakEvent)
)
REFUSALS: dict[int | str, dict[str, Any]] = {409: {"model": ErrorAnswer}}


class BreakDetail(BreakRow):
    """The break as it stands, and everything that happened to it, oldest first."""

    events: list[BreakEvent]


class ActRequest(Strict):
    """What the action needs beside its name: a text says why, a reason code is one of the action's own."""

    expected_event_number: Annotated[int, Field(ge=1, le=2**31 - 1)]
    text: Annotated[str, Field(max_length=4000)] = ""
    reason_code: Annotated[str, Field(max_length=100)] | None = None
    owner: Annotated[str, Field(max_length=200)] | None = None
    partner_break_id: Annotated[str, Field(max_length=300)] | None = None
    partner_expected_event_number: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class Acted(Strict):
    """The break after the action. `proposal`: the action waits for a second person, and nothing else has changed."""

    break_id: str
    state: str
    owner: str | None
    proposal: str | None
    close_cause: str | None
    last_event_number: int
    last_event_at: datetime


@router.get("/{break_id}", response_model=Answer[BreakDetail], responses=NOT_CHANGED)
async def one_break(request: Request, caller: ReadCaller, break_id: BreakId) -> Response:
    """One break with its history."""

    async def made(reader: Reader) -> Draft:
        row = await reader.row(ONE, {"id": break_id})
        if row is None:
            raise NotFound("There is no such break.")
        return Draft(row | {"events": await reader.rows(EVENTS, {"id": break_id})})

    return await remembered(request, break_id, made)


@router.post("/{break_id}/{action}", response_model=Answer[Acted], responses=REFUSALS)
async def act(request: Request, caller: OperateCaller, break_id: BreakId, action: Act, asked: ActRequest) -> Response:
    """Do something about a break, in the name of the key."""
    settings: Settings = request.app.state.settings
    revision: Revision = request.app.state.revision
    given = _arguments(action, asked)
    done = await anyio.to_thread.run_sync(partial(_done, settings, action, break_id, caller.name, asked, given))
    # Other processes notice within seconds.
    revision.move()
    data = {name: getattr(done, name) for name in Acted.model_fields}
    return respond(request, data, await request.app.state.database.freshness())


# What each action takes beside actor, event number and clock; those that it cannot do without are marked.
TAKES: dict[Act, dict[str, bool]] = {
    "acknowledge": {"text": False},
    "assign": {"owner": True, "text": False},
    "comment": {"text": True},
    "ask_provider": {"text": True},
    "explain": {"reason_code": True, "text": True},
    "exclude_test": {"text": True, "reason_code": False},
    "write_off": {"reason_code": True, "text": True},
    "force_match": {
        "reason_code": True, "text": True, "partner_break_id": True, "partner_expected_event_number": True,
    },
    "approve": {"text": False},
    "reject": {"text": True},
    "reopen": {"text": True},
}  # fmt: skip
OPTIONAL = ("text", "reason_code", "owner", "partner_break_id", "partner_expected_event_number")


def _arguments(action: Act, asked: ActRequest) -> dict[str, Any]:
    """What the function of the action is called with. Raises ApiError naming what is missing or has no place."""
    takes = TAKES[action]
    given = {name: getattr(asked, name) for name in OPTIONAL if getattr(asked, name)}
    problems = [(name, f"{action} needs it") for name, needed in takes.items() if needed and name not in given]
    problems += [(name, f"{action} does not take it") for name in given if name not in takes]
    if problems:
        raise _invalid(problems)
    return given


def _done(settings: Settings, action: Act, break_id: str, actor: str, asked: ActRequest, given: dict[str, Any]) -> Any:
    function: Callable[..., Any] = getattr(actions, action)
    try:
        with connect(database_url(settings), role=OPERATOR, autocommit=True, application="psp-sidecar") as connection:
            return function(
                connection,
                break_id,
                actor=actor,
                expected_event_number=asked.expected_event_number,
                at=settings.clock(),
                **given,
            )
    except UnknownBreak as error:
        raise NotFound(error.message) from None
    except StaleBreak as error:
        raise Conflict(error.message, details={"fix": error.fix}) from None
    except SecondPersonNeeded as error:
        raise Forbidden(error.message, details={"fix": error.fix}) from None
    except ActionRefused as error:
        raise _invalid([(action, _sentence(error))]) from None


def _sentence(error: PlatformError) -> str:
    return f"{error.message} Fix: {error.fix}"


def _invalid(problems: list[tuple[str, str]]) -> ApiError:
    fields = [{"field": field, "problem": problem} for field, problem in problems]
    failure = ApiError(f"{problems[0][0]}: {problems[0][1]}", details={"fields": fields})
    failure.status = 400
    return failure
