"""`psp payshack login`: the portal's login, tried by hand."""

from typing import Annotated

import typer

from pipelines.commands.console import Screen
from pipelines.commands.parts import running_providers
from pipelines.core.runtime import payshack_access
from pipelines.core.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The PayShack portal.")


@app.callback()
def payshack() -> None:
    """The PayShack portal."""


@app.command()
def login(
    headed: Annotated[
        bool, typer.Option("--headed", help="Show the browser's window, and wait five minutes for an OTP typed by you.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Allow a login at once after refused ones, and drop the kept session.")
    ] = False,
) -> None:
    """Sign in to the PayShack portal now and keep the session for the loads.

    A valid kept session is used as it is. After three refusals in a row no login is tried for half an hour, because the
    account could be locked: correct PAYSHACK_EMAIL and PAYSHACK_PASSWORD, then use --reset.
    """
    settings, screen = load_settings(), Screen()
    # Heavy: the browser's library.
    from pipelines.sources.payshack.session import SessionStore

    store = SessionStore(settings)
    if reset:
        store.reset_breaker()
        store.forget()
    with (
        running_providers(settings, "psp payshack login", screen, frozenset({"payshack"})),
        screen.step("Signing in") as step,
    ):
        access = payshack_access(settings)
        session = store.session(access, headed=headed)
        step.done(f"Signed in at {access.portal_url}; the session is valid until {session.expires_at:%H:%M} UTC")
