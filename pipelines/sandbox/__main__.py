"""`python -m pipelines.sandbox vima|payshack|answer-key`: one provider in the foreground, or the answer key."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from pipelines.core.clock import Clock, fixed_clock
from pipelines.core.errors import PlatformError
from pipelines.core.settings import Settings, load_settings
from pipelines.sandbox import payshack_server, vima_server
from pipelines.sandbox.answer_key import ExpectedRow, expected_rows
from pipelines.sandbox.books import PayShackBooks, VimaBooks
from pipelines.sandbox.faults import Faults, Wire
from pipelines.sandbox.payshack_envelope import Envelope
from pipelines.sandbox.serving import serve_app
from pipelines.sandbox.state import ensure_state, open_world

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

At = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%dT%H:%M:%S%z"], help="Stand still at this instant. Default: PSP_NOW, else the clock."
    ),
]

WithFaults = Annotated[bool, typer.Option("--faults", help="Take orders at /sandbox/faults, see faults.py.")]


@app.command()
def vima(
    at: At = None,
    cursor: Annotated[
        Literal["exclusive", "inclusive"], typer.Option(help="Whether a page begins after the cursor's row or with it.")
    ] = "exclusive",
    wrapped: Annotated[bool, typer.Option(help='Answer {"operations": [...]} instead of a bare array.')] = False,
    faults: WithFaults = False,
) -> None:
    """Serve the Vima collector API at PSP_SANDBOX_VIMA_PORT until SIGTERM."""
    settings = load_settings()
    state = ensure_state(settings)
    told = Faults()
    served = vima_server.create_app(
        VimaBooks(open_world(state)),
        state,
        clock=_clock(settings, at),
        inclusive=cursor == "inclusive",
        wrapped=wrapped,
        faults=told,
    )
    url, setting = state["vima"]["base_url"], "PSP_SANDBOX_VIMA_PORT"
    serve_app(Wire(served, told) if faults else served, url=url, provider="Vima", setting=setting)


@app.command()
def payshack(
    at: At = None,
    envelope: Annotated[Envelope, typer.Option(help="How answers are wrapped; mixed uses all forms.")] = "mixed",
    token_minutes: Annotated[float, typer.Option(min=0.01, help="How long a session lives.")] = 30.0,
    otp: Annotated[bool, typer.Option("--otp", help="Ask for a one-time code after the password.")] = False,
    faults: WithFaults = False,
) -> None:
    """Serve the PayShack portal and its services at PSP_SANDBOX_PAYSHACK_PORT until SIGTERM."""
    settings = load_settings()
    state = ensure_state(settings)
    told = Faults()
    served = payshack_server.create_app(
        PayShackBooks(open_world(state)),
        state,
        clock=_clock(settings, at),
        envelope=envelope,
        token_minutes=token_minutes,
        with_code=otp,
        faults=told,
    )
    url, setting = state["payshack"]["portal_url"], "PSP_SANDBOX_PAYSHACK_PORT"
    serve_app(Wire(served, told) if faults else served, url=url, provider="PayShack", setting=setting)


@app.command()
def answer_key(at: At = None) -> None:
    """Print what reconciliation must say of every order, one JSON object per row of fct_reconciliation."""
    settings = load_settings()
    rows: Iterable[ExpectedRow] = expected_rows(open_world(ensure_state(settings)), _clock(settings, at)())
    for row in rows:
        sys.stdout.write(json.dumps(asdict(row)) + "\n")


def _clock(settings: Settings, at: datetime | None) -> Clock:
    return settings.clock if at is None else fixed_clock(at.astimezone(UTC))


if __name__ == "__main__":
    try:
        app()
    except PlatformError as error:
        sys.exit(f"error: {error}")
