"""`psp export`: rows of a mart as a file for a spreadsheet or another program."""

import sys
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Literal

import typer

from pipelines.commands.console import Screen
from pipelines.commands.dates import parse_day
from pipelines.commands.parts import running_parts
from pipelines.core.settings import load_settings

STDOUT = Path("-")

Many = list[str] | None


def export(
    what: Annotated[Literal["transactions", "reconciliation", "metrics"], typer.Argument(help="Which rows.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write; - is standard output.")],
    file_format: Annotated[
        Literal["csv", "xlsx", "parquet"] | None,
        typer.Option("--format", help="Default: what the name of the file says, else csv."),
    ] = None,
    first: Annotated[
        date | None, typer.Option("--from", parser=parse_day, metavar="DAY", help="First business date, 2026-01-15.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="Last business date, included.")
    ] = None,
    project: Annotated[Many, typer.Option(help="Only this project. This and the following may be repeated.")] = None,
    flow: Annotated[Many, typer.Option(help="payin or payout.")] = None,
    source: Annotated[Many, typer.Option(help="vima or payshack; not for reconciliation.")] = None,
    status: Annotated[Many, typer.Option(help="A status such as success; only for transactions.")] = None,
    currency: Annotated[Many, typer.Option(help="A currency such as INR; not for reconciliation.")] = None,
    outcome: Annotated[
        Many, typer.Option("--type", help="An outcome such as missing_vima; only for reconciliation.")
    ] = None,
    severity: Annotated[Many, typer.Option(help="critical, high, medium or low; only for reconciliation.")] = None,
) -> None:
    """Write rows of a mart to a file.

    The file appears whole or not at all. CSV and Parquet get a cover note beside them (FILE.cover.txt), a workbook a
    cover sheet: filters, row count, as-of instant and content hash. Cells that a spreadsheet would run as a formula are
    disarmed, but not in Parquet.

    Examples:  psp export transactions --from 2026-01-10 --to 2026-01-16 --out week.xlsx
               psp export reconciliation --type missing_vima --out missing.csv
    """
    named = {"project": project, "flow": flow, "source": source, "status": status}
    named |= {"currency": currency, "type": outcome, "severity": severity}
    filters: dict[str, object] = {name: values for name, values in named.items() if values}
    filters |= {name: day for name, day in (("from_date", first), ("to_date", last)) if day}
    suffix = out.suffix.lower().removeprefix(".")
    chosen = file_format or (suffix if suffix in ("xlsx", "parquet") else "csv")
    settings, screen = load_settings(), Screen()
    # Heavy: workbook and web libraries.
    from pipelines.sidecar.export import export_rows

    target: Path | IO[bytes] = sys.stdout.buffer if out == STDOUT else out
    with running_parts(settings, "psp export", screen), screen.step(f"Exporting {what}") as step:
        report = export_rows(
            settings,
            what,
            filters,
            chosen,
            target,
            progress=lambda rows, total: step.note(f"{rows:,} of {total:,} rows"),
        )
        step.done(f"{report.rows:,} rows of {what} written to {out}")
