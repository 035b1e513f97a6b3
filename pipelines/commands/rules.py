"""`psp reconcile diff`: the breaks that changed rules would bring, take away or change; the marts stay as they are."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipelines.commands.console import Screen
from pipelines.commands.dates import day_range, parse_day
from pipelines.commands.parts import running_parts
from pipelines.core.settings import load_settings

SHOWN = 50


def diff(
    rules: Annotated[
        Path, typer.Option(help="Folder with the changed seeds, CSV files named as in dbt_project/seeds.")
    ],
    first: Annotated[
        date | None,
        typer.Option("--from", parser=parse_day, metavar="DAY", help="First business date. Default: a week of days."),
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="Last business date, included.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with every row instead.")] = False,
) -> None:
    """List the very breaks that changed rules would bring, take away or change.

    Both the rules as they are and the changed ones are run over the raw log of those days, beside the marts, which are
    neither read nor touched. It takes about as long as two rebuilds of those days; feeds wait meanwhile.

    Example:  psp reconcile diff --rules ./proposal --from 2026-01-10 --to 2026-01-16
    """
    # Heavy: dbt is for commands that run models.
    from pipelines.defs.model.manifest import parsed_project
    from pipelines.defs.model.rule_changes import changed_seeds, rule_changes

    settings, screen = load_settings(), Screen()
    changed_seeds(rules)
    if first is None and last is None:
        last = settings.clock().astimezone(settings.business_zone).date()
        first = last - timedelta(days=6)
    days = day_range(first, last)
    with running_parts(settings, "psp reconcile diff", screen):
        found = rule_changes(settings, parsed_project(settings), rules=rules, first=days[0], last=days[-1])
    if as_json:
        screen.json({"from_date": days[0], "to_date": days[-1], "rules": rules.name, "changes": found})
        return
    if not found:
        screen.say(f"No break between {days[0]} and {days[-1]} would change.")
        return
    screen.table(_table(found[:SHOWN]))
    counted = Counter(row["change"] for row in found)
    told = " · ".join(f"{counted[word]} {word}" for word in ("appears", "vanishes", "changes") if counted[word])
    rest = f"; {len(found) - SHOWN} more rows with --json" if len(found) > SHOWN else ""
    screen.out.print(f"\n[dim]{told}, {days[0]} to {days[-1]}, business dates{rest}[/]")


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for header in ("change", "day", "flow", "order", "before", "after"):
        table.add_column(header, overflow="fold")
    table.add_column("exposure", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["change"],
            f"{row['business_date']}",
            f"{row['project']} {row['flow']}",
            row["order_key"] or "-",
            _said(row, "before"),
            _said(row, "after"),
            f"{_amount(row['exposure_before'])} > {_amount(row['exposure_after'])} {row['currency'] or ''}".strip(),
        )
    return table


def _said(row: dict[str, Any], when: str) -> str:
    """Outcome, reasons and severity, where it is a break."""
    if row[f"severity_{when}"] is None:
        return row[f"outcome_{when}"] or "-"
    reasons = ", ".join(row[f"reasons_{when}"] or ())
    return f"{row[f'outcome_{when}']} ({reasons}) {row[f'severity_{when}']}"


def _amount(value: Decimal | None) -> str:
    return f"{value:,.2f}" if value is not None else "-"
