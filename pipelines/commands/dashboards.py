"""`psp dashboards`: check the files, draw them without Metabase, plan and apply them to one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts
from pipelines.core.errors import DashboardError
from pipelines.core.settings import load_settings
from pipelines.dashboards.check import check_content
from pipelines.dashboards.deploy import load_deploy
from pipelines.dashboards.files import FOLDER, load_content
from pipelines.dashboards.lineage import EXPOSURES, exposures, stale_exposures

app = typer.Typer(no_args_is_help=True, help="Dashboards as code: check, preview, plan and apply.")

SLOW_MILLISECONDS = 200.0
NAMED = 10

Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the dashboard files are.")]


@app.command()
def check(
    folder: Folder = FOLDER,
    structure_only: Annotated[
        bool, typer.Option("--structure-only", help="Look at the files alone; ask no database.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the findings as JSON to stdout.")] = False,
) -> None:
    """Check the dashboard files: what Metabase's own validator lets through, then every query over the real marts.

    Structure: references, the grid, tags and mappings, keys of settings, links, connections. Then each query runs with
    every filter empty, set and multi-valued, and must return the columns that the card names. Exit code 1 when anything
    is wrong.
    """
    screen = Screen()
    content, deploy = load_content(folder), load_deploy(folder)
    with screen.step("Structure") as step:
        problems = [*check_content(content, deploy), *(stale_exposures(content) if folder == FOLDER else ())]
        step.done(f"Structure: {len(content.dashboards)} dashboards, {len(content.cards)} cards")
    slowest: list[tuple[str, float]] = []
    empty: list[str] = []
    if not structure_only and not problems:
        settings = load_settings()
        # Heavy: psycopg and the marts.
        from pipelines.dashboards.run_check import RunCheck
        from pipelines.dashboards.warehouse import business_today, reading

        with running_parts(settings, "psp dashboards check", screen), screen.step("Queries") as step:
            with reading(settings) as connection:
                run = RunCheck(connection, content, business_today(settings))
                run.cards()
            problems = run.report.problems
            empty = run.report.empty
            slowest = sorted(run.report.slowest.items(), key=lambda item: -item[1])[:NAMED]
            step.done(f"Queries: {run.report.statements} statements over the marts")
    if as_json:
        screen.json({"problems": problems, "slowest_ms": dict(slowest), "without_rows": empty})
    elif slowest:
        table = Table("slowest cards", "milliseconds", box=None)
        for name, spent in slowest:
            table.add_row(name, f"{spent:.0f}{'  slow' if spent > SLOW_MILLISECONDS else ''}")
        screen.table(table)
    if problems:
        for problem in problems:
            screen.say(f"  [red]✗[/] {escape(problem)}")
        raise DashboardError(f"{len(problems)} findings in the dashboard files.", fix="correct what is named above")


@app.command(name="exposures")
def write_exposures() -> None:
    """Write the dbt exposures: for each dashboard the marts that it reads, so that lineage in dbt and its docs ends
    there.

    They are generated from the dashboard files; `psp dashboards check` says when they are out of date.
    """
    content = load_content()
    EXPOSURES.write_text(exposures(content), encoding="utf-8")
    Screen().say(f"  {len(content.dashboards)} exposures in {EXPOSURES.name}")


@app.command()
def preview(
    dashboards: Annotated[
        list[str] | None, typer.Argument(help="Names of dashboard files; all when none is given.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write the pages.")] = Path(
        "dashboards-preview"
    ),
    png: Annotated[bool, typer.Option("--png", help="Also a picture of each page, through Chromium.")] = False,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="FILTER=VALUE", help="A filter's value; may be repeated.")
    ] = None,
    folder: Folder = FOLDER,
) -> None:
    """Draw dashboards without Metabase: one self-contained HTML page each, with real results and nothing to download.

    Under `psp up` the sidecar serves the same pages at /dashboards, where the filters can be used.

    Example:  psp dashboards preview overview --set project=91game --set period=past7days~ --png
    """
    settings, screen = load_settings(), Screen()
    content = load_content(folder)
    # Heavy: charts.
    from pipelines.dashboards.preview.files import write_pages, write_pictures

    with running_parts(settings, "psp dashboards preview", screen), screen.step("Pages") as step:
        pages = write_pages(settings, content, out, slugs=dashboards or (), values=_pairs(values), say=step.note)
        step.done(f"{len(pages)} pages in {out}")
    if png:
        with screen.step("Pictures") as step:
            pictures = write_pictures(settings, pages, say=step.note)
            step.done(f"{len(pictures)} pictures in {out}")


def _pairs(values: list[str] | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in values or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise typer.BadParameter("write --set as FILTER=VALUE")
        found.setdefault(name, []).append(value)
    return found


@app.command()
def plan(
    folder: Folder = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Write the changes as JSON to stdout.")] = False,
) -> None:
    """Show what `psp dashboards apply` would change in the Metabase at METABASE_URL; change nothing.

    The same as `psp dashboards apply --dry-run`: both walk the same way, and the plan sends nothing that writes.
    """
    _provision(folder, dry=True, as_json=as_json)


@app.command()
def apply(
    folder: Folder = FOLDER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the changes as JSON to stdout.")] = False,
) -> None:
    """Bring the Metabase at METABASE_URL to what the files say: connections, content, permissions, subscriptions.

    Only what the files made is changed or archived; people's own content stays. Safe to repeat: a second run changes
    nothing, and a run that broke off is completed by the next one. A Metabase without users is set up first.
    """
    _provision(folder, dry=dry_run, as_json=as_json)


def _provision(folder: Path, *, dry: bool, as_json: bool) -> None:
    settings, screen = load_settings(), Screen()
    content, deploy = load_content(folder), load_deploy(folder)
    problems = check_content(content, deploy)
    if problems:
        raise DashboardError(f"{len(problems)} findings in the dashboard files.", fix="run `psp dashboards check`")
    # Heavy: HTTP.
    from pipelines.dashboards.provision.apply import provision

    with running_parts(settings, "psp dashboards", screen), screen.step("Metabase") as step:
        report = provision(settings, content, deploy, dry=dry, say=step.note)
        what = "would change" if dry else "changed"
        step.done(f"Metabase: {len(report.changes)} things {what}")
    for warning in report.warnings:
        screen.say(f"  [yellow]![/] {escape(warning)}")
    if as_json:
        changes = [
            {"action": item.action, "kind": item.kind, "name": item.name, "details": list(item.details)}
            for item in report.changes
        ]
        screen.json({"changes": changes, "warnings": list(report.warnings), "dashboards": report.addresses})
        return
    table = Table("action", "what", "name", "differs in", box=None)
    for item in report.changes:
        table.add_row(item.action, item.kind, item.name, ", ".join(item.details))
    if report.changes:
        screen.table(table)
    if not dry:
        for name, address in report.addresses.items():
            screen.say(f"  {escape(name)}  [dim]{escape(address)}[/]")
