"""`psp sync`: one pass, load then models, without a daemon.

feed (no dates): what is new or changed since the last pass           -> raw -> models -> announcement
window (--from --to): each UTC created day again, a failing day apart -> raw -> models -> announcement
"""

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from pipelines.commands.console import Screen, Step
from pipelines.commands.dates import day_range, parse_day
from pipelines.commands.parts import running_parts
from pipelines.core.errors import PlatformError, SourceUnavailable
from pipelines.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from pipelines.loading.report import LoadReport

Source = Literal["vima", "payshack"]
Progress = Callable[["LoadReport"], None]

TITLES: dict[Source, str] = {"vima": "Vima", "payshack": "PayShack"}

SILENCE_LIMIT = 3
"""Days in a row on which a provider did not answer, after which the others are not tried."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """One load that was tried: of a source, and of a day in window mode."""

    source: Source
    scope: str
    report: "LoadReport | None" = None
    error: PlatformError | None = None

    def as_json(self) -> dict[str, Any]:
        """What a program reads."""
        found: dict[str, Any] = {"source": self.source, "scope": self.scope, "ok": self.error is None}
        if self.report is not None:
            found |= asdict(self.report)
        if self.error is not None:
            found |= {"error": self.error.message, "fix": self.error.fix}
        return found


def sync(
    source: Annotated[Literal["vima", "payshack", "all"], typer.Argument(help="Which provider to read.")],
    first: Annotated[
        date | None,
        typer.Option(
            "--from", parser=parse_day, metavar="DAY", help="First UTC created day to read again, 2026-01-15."
        ),
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="Last day, included.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Load once, then build the models. No daemon is needed.

    Without dates it goes on where the last pass ended and brings everything new or changed. With --from and --to it
    reads those days again, as often as you like: what is already there is not stored twice. A day that fails does not
    stop the others. It may run beside `psp up`.

    Examples:  psp sync all  ·  psp sync payshack --from 2026-01-10 --to 2026-01-16
    """
    days = day_range(first, last)
    settings, screen = load_settings(), Screen()
    sources: list[Source] = ["vima", "payshack"] if source == "all" else [source]
    with running_parts(settings, "psp sync", screen, providers=frozenset(sources), prepare=True):
        passes = [one for name in sources for one in _load(settings, name, days, screen)]
        models, model_error = _build_models(settings, screen) if any(one.report for one in passes) else (None, None)
    errors = _distinct([one.error for one in passes] + [model_error])
    if as_json:
        told = [{"error": error.message, "fix": error.fix} for error in errors]
        screen.json({"ok": not errors, "loads": [one.as_json() for one in passes], "models": models, "errors": told})
    else:
        screen.table(_summary(passes))
    for error in errors:
        screen.error(error)
    if errors:
        raise typer.Exit(1)


def _load(settings: Settings, source: Source, days: list[date], screen: Screen) -> list[Pass]:
    title = TITLES[source]
    passes: list[Pass] = []
    with screen.step(title) as step:

        def progress(report: "LoadReport") -> None:
            where = f"{len(passes)} of {len(days)} days done, {report.scope}" if days else "reading"
            step.note(f"{where} · {report.pages:,} pages, {report.rows_read:,} rows")

        tries = _window_passes(settings, source, days, progress) if days else _feed_pass(settings, source, progress)
        for one in tries:
            passes.append(one)
            if _is_silent(passes):
                tries.close()
        _tell(step, title, passes, days)
    return passes


def _tell(step: Step, title: str, passes: list[Pass], days: list[date]) -> None:
    rows = sum(one.report.rows_new for one in passes if one.report)
    read = sum(one.report.rows_read for one in passes if one.report)
    text = f"{title}: {rows:,} new of {read:,} rows read"
    failed = [one for one in passes if one.error]
    if failed:
        step.failed()
        text += f"; {len(failed)} of {len(days)} days failed" if days else "; failed"
        if len(passes) < len(days):
            text += f", {len(days) - len(passes)} not tried"
    step.done(text)


def _feed_pass(settings: Settings, source: Source, progress: Progress) -> Generator[Pass, None, None]:
    # Imported here: the loader brings a second of imports that no other command needs.
    from pipelines.loading.payshack import load_payshack_feed
    from pipelines.loading.vima import load_vima_feed

    load = load_vima_feed if source == "vima" else load_payshack_feed
    try:
        yield Pass(source=source, scope="feed", report=load(settings, progress=progress))
    except PlatformError as error:
        yield Pass(source=source, scope="feed", error=error)


def _window_passes(
    settings: Settings, source: Source, days: list[date], progress: Progress
) -> Generator[Pass, None, None]:
    from pipelines.loading.payshack import load_payshack_windows
    from pipelines.loading.vima import load_vima_windows

    load = load_vima_windows if source == "vima" else load_payshack_windows
    for outcome in load(settings, days, progress=progress):
        if outcome.report or outcome.error:
            yield Pass(source=source, scope=outcome.day.isoformat(), report=outcome.report, error=outcome.error)


def _is_silent(passes: list[Pass]) -> bool:
    newest = passes[-SILENCE_LIMIT:]
    return len(newest) == SILENCE_LIMIT and all(isinstance(one.error, SourceUnavailable) for one in newest)


def _build_models(settings: Settings, screen: Screen) -> tuple[dict[str, Any] | None, PlatformError | None]:
    from pipelines.defs.model.manifest import parsed_project
    from pipelines.defs.model.runner import run_models
    from pipelines.loading.freshness import announce_freshness

    with screen.step("Models") as step:
        try:
            step.note("parsing")
            project = parsed_project(settings)
            step.note("building and testing")
            report = run_models(settings, project=project)
            announce_freshness(settings)
        except PlatformError as error:
            step.failed()
            step.done("Models: failed")
            return None, error
        built = [node for node in report.nodes if node.kind != "test"]
        tests = len(report.nodes) - len(built)
        step.done(f"Models: {len(built)} built, {tests} tests passed")
    found = {"built": len(built), "tests": tests, "full_refresh": report.full_refresh}
    return found | {"seconds": round(report.duration_seconds, 3)}, None


def _distinct(errors: list[PlatformError | None]) -> list[PlatformError]:
    """One of each message: seven days that fail alike are one thing to mend."""
    return list({error.message: error for error in errors if error is not None}.values())


def _summary(passes: list[Pass]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "scope"):
        table.add_column(name)
    for name in ("pages", "rows read", "new", "quarantined", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("result")
    for one in passes:
        report = one.report
        numbers = (
            (f"{report.pages:,}", f"{report.rows_read:,}", f"{report.rows_new:,}", f"{report.rows_quarantined:,}")
            if report
            else ("", "", "", "")
        )
        seconds = f"{report.duration_seconds:.1f}" if report else ""
        result = "[green]ok[/]" if report else "[red]failed[/]"
        table.add_row(one.source, one.scope, *numbers, seconds, result)
    return table
