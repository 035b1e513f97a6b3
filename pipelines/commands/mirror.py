"""`psp mirror`: the marts as Parquet and DuckDB, for pandas and for heavy questions."""

from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts
from pipelines.core.settings import load_settings


def mirror(
    full: Annotated[bool, typer.Option("--full", help="Write every day again, not only what has changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a sentence.")] = False,
) -> None:
    """Bring the copy of the marts as Parquet files up to date, and the DuckDB database over them.

    The files lie in PSP_HOME/mirror, one per mart and business date; only days that have changed since the last time
    are written. Open PSP_HOME/mirror/marts.duckdb with DuckDB, where each mart is a view of its name, or read the files
    with pandas.

    Example:  psp mirror && duckdb -readonly .psp/mirror/marts.duckdb "select count(*) from fct_transactions"
    """
    settings, screen = load_settings(), Screen()
    # Heavy: Arrow and DuckDB.
    from pipelines.mirror.refresh import refresh_mirror

    with running_parts(settings, "psp mirror", screen), screen.step("Mirroring the marts") as step:
        report = refresh_mirror(settings, full=full)
        files = f"{report.parts_written:,} of {report.parts:,} files"
        rows = f"{report.rows_written:,} of {report.rows:,} rows"
        step.done(f"{files} written, {rows}, in {report.seconds:.1f} s: {report.database}")
    if as_json:
        screen.json(asdict(report))
