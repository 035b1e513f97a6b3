"""`psp`: the command line. One command per module of pipelines/commands; what all share is here.

Exit codes: 0 done, 1 failed (with one `error:` and one `fix:` line on stderr), 2 used wrongly.
"""

import logging
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from pipelines.commands import (
    bank,
    breaks,
    close,
    dashboards,
    doctor,
    export,
    metabase,
    mirror,
    payshack,
    quarantine,
    reconcile,
    service,
    status,
    sync,
    up,
)
from pipelines.commands.console import Screen
from pipelines.commands.interrupts import interrupt_on_signals
from pipelines.core.errors import PlatformError
from pipelines.core.redaction import redact

DEPLOYMENT = "For containers and service managers"


class PspGroup(TyperGroup):
    """Turns what a command raises into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PlatformError as error:
            Screen().error(error)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            Screen().error(PlatformError("Interrupted.", fix="run it again; what was committed before is kept"))
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=PspGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "The PSP data platform: payments of two systems loaded, reconciled and served.\n\n"
        "Start with `psp up`. Settings come from the environment and .env: see docs/operations/settings.md."
    ),
)
app.command()(up.up)
app.command()(status.down)
app.command()(status.status)
app.command()(sync.sync)
app.add_typer(reconcile.app, name="reconcile")
app.command()(export.export)
app.add_typer(bank.app, name="bank")
app.add_typer(close.app, name="close")
app.command()(mirror.mirror)
app.add_typer(dashboards.app, name="dashboards")
app.add_typer(metabase.app, name="metabase")
app.add_typer(breaks.app, name="breaks")
app.add_typer(payshack.app, name="payshack")
app.add_typer(quarantine.app, name="quarantine")
app.command()(doctor.doctor)
app.command(rich_help_panel=DEPLOYMENT)(service.service)
app.command(rich_help_panel=DEPLOYMENT)(service.prepare)


def main() -> None:
    """The entry point."""
    interrupt_on_signals()
    # A browser that ends with an interrupted command leaves futures behind, of which asyncio would tell at length.
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    try:
        app()
    except Exception as error:
        sys.stderr.write(redact("".join(traceback.format_exception(error))))
        Screen().error(
            PlatformError(
                f"Unexpected {type(error).__name__}: {error}", fix="this is a fault of the platform; report it"
            )
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
