"""`psp close`: signing a business day, and what a signature still says."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.table import Table

from pipelines.closing.calendar import Kind
from pipelines.closing.changes import Change, adjustments_of, changes_since
from pipelines.closing.ledger import (
    Close,
    broken_links,
    close_of,
    closes,
    signed_texts,
)
from pipelines.closing.report import report_bytes, report_hash
from pipelines.commands.console import Screen
from pipelines.commands.dates import parse_day
from pipelines.commands.parts import running_parts
from pipelines.core.errors import ClosingError
from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.settings import load_settings

SHOWN_CHANGES = 50

app = typer.Typer(no_args_is_help=False, help="Sign business days and compare with what was signed.")

Day = Annotated[date, typer.Option("--date", parser=parse_day, metavar="DAY", help="The business date, 2026-01-15.")]
Final = Annotated[bool, typer.Option("--final", help="The final close, not the provisional one.")]
Provisional = Annotated[bool, typer.Option("--provisional", help="The provisional close; default: the newest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


@app.callback(invoke_without_command=True)
def close(
    context: typer.Context,
    day: Annotated[
        date | None, typer.Option("--date", parser=parse_day, metavar="DAY", help="The business date to close.")
    ] = None,
    final: Final = False,
    by: Annotated[str | None, typer.Option(help="Who signs. Default: your user name on this machine.")] = None,
    as_json: AsJson = False,
) -> None:
    """Close a business day: sign its reconciliation as it is known now.

    Provisional from 06:00 of the day after, final from 06:00 four days after (Indian time). The models run first; then
    the day's report is kept for ever, chained by hashes to all closes before it. What becomes known after a final close
    is booked as an adjustment on the day on which it became known.

    Examples:  psp close --date 2026-01-15  ·  psp close --date 2026-01-15 --final --by "A. Finance"
    """
    if context.invoked_subcommand is not None:
        return
    if day is None:
        raise typer.BadParameter("name the day: psp close --date 2026-01-15")
    settings, screen = load_settings(), Screen()
    kind: Kind = "final" if final else "provisional"
    # Heavy: dbt.
    from pipelines.defs.model.closing import close_day

    with running_parts(settings, "psp close", screen) as url, screen.step(f"Closing {day}") as step:
        signed = close_day(settings, url, day=day, kind=kind, by=by or getpass.getuser(), note=step.note)
        step.done(f"{day}: {kind} close {signed.close_number} signed by {signed.closed_by}")
    if as_json:
        screen.json(_told(signed))
    else:
        screen.out.print(f"report {signed.report_hash}\nclose  {signed.close_hash}")


@app.command("list")
def list_closes(as_json: AsJson = False) -> None:
    """List the days that are closed, newest first, and whether the chain of signatures still holds.

    Adjustments count what became known after a final close; `psp close diff` lists it.
    """
    with _reading("psp close list") as (screen, connection):
        found = closes(connection)
        adjustments = {close.close_number: adjustments_of(connection, close) for close in found}
        wrong = broken_links(connection)
        if as_json:
            told = [_told(close) | {"adjustments": len(adjustments[close.close_number])} for close in found]
            screen.json({"closes": told, "broken": wrong})
        else:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for name in ("day", "kind", "signed by", "as known at (UTC)", "adjustments", "report"):
                table.add_column(name, justify="right" if name == "adjustments" else "left")
            for close in sorted(found, key=lambda one: (one.business_date, one.close_number), reverse=True):
                count = f"{len(adjustments[close.close_number]):,}" if close.kind == "final" else ""
                known = f"{close.as_known_at:%Y-%m-%d %H:%M}"
                table.add_row(
                    str(close.business_date), close.kind, close.closed_by, known, count, close.report_hash[:12]
                )
            screen.table(table)
        _refuse_broken(wrong)


@app.command()
def show(
    day: Day,
    provisional: Provisional = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the signed report, byte for byte.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the report again from the raw log and compare every byte.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a signed day: who signed what, on which ground; with --out the report itself, JSON lines.

    --rebuild proves it: a database of its own gets the raw log as it was known when the day was signed and the rules of
    that time, the models run on it, and the report must come out the same. It takes minutes on a long log.
    """
    with _reading("psp close show") as (screen, connection):
        close = close_of(connection, day, "provisional" if provisional else None)
        texts = signed_texts(connection, close)
        if report_hash(texts) != close.report_hash:
            raise ClosingError("The report is not what was signed.", fix="restore schema closing from a backup")
        if out is not None:
            out.write_bytes(report_bytes(texts))
        if rebuild:
            _require_same(texts, _rebuilt(connection, screen, close))
        if as_json:
            screen.json(_told(close) | {"rebuilt": rebuild})
        else:
            table = Table(box=None, pad_edge=False, show_header=False)
            for name, value in _told(close).items():
                table.add_row(name.replace("_", " "), str(value))
            screen.table(table)


@app.command()
def diff(day: Day, provisional: Provisional = False, as_json: AsJson = False) -> None:
    """List what changed of a day since it was signed: each row, what it said and what it says now.

    Reads the marts as the last run of the models left them. For a final close it also lists the adjustments as they
    were booked; their sum is the change of the nets.
    """
    with _reading("psp close diff") as (screen, connection):
        close = close_of(connection, day, "provisional" if provisional else None)
        changes, booked = changes_since(connection, close), adjustments_of(connection, close)
        if as_json:
            screen.json({"close": _told(close), "changes": [asdict(one) for one in changes], "adjustments": booked})
            return
        if not changes:
            screen.say(f"Nothing has changed of {day} since {close.as_known_at:%Y-%m-%d %H:%M} UTC.")
        else:
            screen.table(_changes_table(changes))
            if len(changes) > SHOWN_CHANGES:
                screen.say(f"[dim]... and {len(changes) - SHOWN_CHANGES:,} more; --json has all[/]")
        vima = sum((one.vima_adjustment for one in changes), Decimal(0))
        payshack = sum((one.payshack_adjustment for one in changes), Decimal(0))
        screen.say(
            f"{len(changes):,} rows changed · Vima {vima:+,} · PayShack {payshack:+,}"
            f" · {len(booked):,} adjustments booked"
        )


def _changes_table(changes: list[Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("row", "order", "change", "what", "Vima", "PayShack"):
        table.add_column(name, justify="right" if name in ("Vima", "PayShack") else "left")
    for one in changes[:SHOWN_CHANGES]:
        what = ", ".join(f"{name} {_was(one.signed, name)} → {_was(one.now, name)}" for name in one.fields[:4])
        table.add_row(
            one.reconciliation_id[:12],
            one.order_key or "-",
            one.change,
            what,
            f"{one.vima_adjustment:+,}",
            f"{one.payshack_adjustment:+,}",
        )
    return table


def _was(row: dict[str, Any] | None, name: str) -> str:
    value = None if row is None else row.get(name)
    return "-" if value is None else str(value)


def _told(close: Close) -> dict[str, Any]:
    """What is shown of a close; the ids of its open quarantine are for the rebuild."""
    told = asdict(close)
    told["open_quarantine"] = len(close.open_quarantine)
    return told


def _rebuilt(connection: psycopg.Connection[Any], screen: Screen, close: Close) -> list[str]:
    from pipelines.closing.rebuild import rebuilt_texts
    from pipelines.core.runtime import database_url
    from pipelines.defs.model.elsewhere import build_elsewhere

    connection.commit()
    with screen.step(f"Building {close.business_date} again as known at {close.as_known_at:%Y-%m-%d %H:%M} UTC"):
        return rebuilt_texts(database_url(load_settings()), close, build_elsewhere)


def _require_same(signed: list[str], rebuilt: list[str]) -> None:
    if signed == rebuilt:
        return
    first = next(
        (number for number, pair in enumerate(zip(signed, rebuilt, strict=False), 1) if pair[0] != pair[1]),
        min(len(signed), len(rebuilt)) + 1,
    )
    raise ClosingError(
        f"Built again, the report differs from line {first} on ({len(signed):,} lines signed, {len(rebuilt):,} built).",
        fix="compare with `psp close show --out`; a raw log that was changed by hand is the usual cause",
    )


def _refuse_broken(wrong: list[str]) -> None:
    if wrong:
        raise ClosingError(
            f"The chain of closes does not hold: {'; '.join(wrong[:3])}.", fix="restore schema closing from a backup"
        )


@contextmanager
def _reading(command: str) -> Iterator[tuple[Screen, psycopg.Connection[Any]]]:
    screen = Screen()
    with (
        running_parts(load_settings(), command, screen) as url,
        connect(url, role=TRANSFORMER, application="psp-close") as connection,
    ):
        yield screen, connection
