"""`psp quarantine`: records that broke the contract, and trying them again once contract or reader is mended."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts
from pipelines.core.settings import load_settings

NAMED_REFUSALS = 20

app = typer.Typer(no_args_is_help=True, help="Records that broke the contract: list them, try them again.")

TableOption = Annotated[
    str | None, typer.Option("--table", metavar="TABLE", help="Only records meant for this raw table: payshack_payins.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


@app.callback()
def quarantine() -> None:
    """Records that broke the contract."""


@app.command("list")
def list_records(
    table: TableOption = None,
    reason: Annotated[str | None, typer.Option(metavar="CODE", help="Only this reason: missing_id.")] = None,
    with_replayed: Annotated[bool, typer.Option("--all", help="Also those that were replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Show what waits in raw.quarantine, newest first, with the reason; never a payload, which may hold personal data.

    Example:  psp quarantine list --table vima_operations --reason inexact_amount
    """
    settings, screen = load_settings(), Screen()
    with running_parts(settings, "psp quarantine list", screen):
        # Heavy: the loader's imports.
        from pipelines.loading.quarantine import count_quarantine, list_quarantine

        chosen = {"table": table, "reason": reason, "with_replayed": with_replayed}
        records = list_quarantine(settings, **chosen, limit=limit)  # type: ignore[arg-type]
        total = count_quarantine(settings, **chosen)  # type: ignore[arg-type]
    if as_json:
        screen.json({"total": total, "records": [asdict(record) for record in records]})
        return
    if not records:
        screen.say("Nothing is in quarantine.")
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("id", justify="right")
    for name in ("table", "record", "order key", "reason", "detail", "observed (UTC)", "replayed (UTC)"):
        shown.add_column(name, overflow="fold")
    for record in records:
        replayed = f"{record.replayed_at:%Y-%m-%d %H:%M}" if record.replayed_at else ""
        shown.add_row(
            str(record.quarantine_id),
            record.source_table,
            record.record_id or "-",
            record.order_key or "-",
            record.reason,
            record.detail,
            f"{record.observed_at:%Y-%m-%d %H:%M}",
            replayed,
        )
    screen.table(shown)
    if total > len(records):
        screen.say(f"{len(records)} of {total}, the newest; --limit shows more.")


@app.command()
def replay(
    table: TableOption = None,
    quarantine_ids: Annotated[
        list[int] | None, typer.Option("--id", metavar="ID", help="Only this record; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge waiting records again by the contract as it is now. What passes goes to the raw log, the rest says why not.

    Safe to repeat: nothing is stored twice. The models see the rows at their next run (`psp up`: within minutes; else
    `psp sync all`).

    Example:  psp quarantine replay --table payshack_payins
    """
    settings, screen = load_settings(), Screen()
    with running_parts(settings, "psp quarantine replay", screen), screen.step("Replaying") as step:
        from pipelines.loading.quarantine import replay_quarantine

        report = replay_quarantine(settings, table=table, quarantine_ids=quarantine_ids)
        step.done(
            f"{report.replayed} replayed, {report.rows_new} of them new in the raw log; {len(report.refused)} stay"
        )
    if as_json:
        screen.json(asdict(report))
        return
    for quarantine_id, why in list(report.refused.items())[:NAMED_REFUSALS]:
        screen.out.print(f"{quarantine_id}  {why}", markup=False)
    if len(report.refused) > NAMED_REFUSALS:
        screen.say(f"... and {len(report.refused) - NAMED_REFUSALS} more; `psp quarantine list` shows all.")
