"""`psp bank load`: a bank statement into the raw log, then what it settles."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts
from pipelines.core.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Bank statements: did the money arrive?")


@app.callback()
def bank() -> None:
    """Bank statements: did the money arrive?"""


@app.command()
def load(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Statements: camt.053, MT940 or CSV.")],
    mapping: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Which column of a CSV is what; see docs/sources/bank.md.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> None:
    """Load bank statements, then match their lines with what PayShack settled.

    A file is loaded as a whole or not at all, and each line once: the same file again, or an overlapping one, adds only
    what is new. The format is told from the file itself.

    Example:  psp bank load 2026-01-15.xml
    """
    settings, screen = load_settings(), Screen()
    # Imported here: loader and dbt bring seconds of imports that no other command needs.
    from pipelines.defs.model.manifest import parsed_project
    from pipelines.defs.model.runner import run_models
    from pipelines.loading.bank import load_bank_file

    reports = []
    with running_parts(settings, "psp bank load", screen, prepare=True):
        for path in files:
            with screen.step(path.name) as step:
                report = load_bank_file(settings, path, mapping_path=mapping)
                step.done(
                    f"{path.name}: {report.lines_new:,} new of {report.lines_read:,} lines ({report.file_format})"
                )
                reports.append(report)
        with screen.step("Models") as step:
            run_models(settings, project=parsed_project(settings), depth="models")
            step.done("Models: the lines are matched")
    if as_json:
        screen.json({"files": [asdict(report) for report in reports]})
