"""`psp breaks`: the work list of breaks, and what people do about them.

list, show            marts.fct_breaks, marts.fct_break_events
ack ... reject        pipelines.breaks.actions, one row each; exit code 1 when any row was refused
verify                pipelines.breaks.verification
"""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import psycopg
import typer

from pipelines.breaks import actions
from pipelines.breaks.bulk import RowResult, Target, each
from pipelines.breaks.ledger import Break, explained_failures, read_break, read_events
from pipelines.breaks.verification import verify as verify_log
from pipelines.breaks.worklist import Wanted, break_row, work_list
from pipelines.commands.break_tables import facts, history, listing, outcomes
from pipelines.commands.console import Screen
from pipelines.commands.parts import running_parts
from pipelines.core.errors import PlatformError
from pipelines.core.postgres import connect
from pipelines.core.settings import load_settings

OPERATOR = "psp_operator"

app = typer.Typer(no_args_is_help=True, help="Breaks: what disagrees, and what is done about it.")

Many = list[str] | None
Ids = Annotated[
    list[str], typer.Argument(metavar="BREAK_ID...", help="One or more breaks, as `psp breaks list` names them.")
]
Event = Annotated[
    int | None,
    typer.Option(
        "--event", metavar="N", help="The newest event that you have seen; refused when there is a newer one."
    ),
]
Actor = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who acts. Default: the name of your login.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Text = Annotated[str, typer.Option("--text", "-m", help="Why, in words; kept for ever.")]
OptionalText = Annotated[str, typer.Option("--text", "-m", help="A remark; kept for ever.")]
Code = Annotated[str, typer.Option("--code", help="A reason code of the seed break_explanations.")]

Act = Callable[[psycopg.Connection[Any], Target, str, datetime], Break]


@app.callback()
def breaks() -> None:
    """Breaks: what disagrees, and what is done about it. docs/operations/breaks.md explains states and actions."""


@app.command("list")
def list_breaks(
    state: Annotated[
        Many, typer.Option(help="Only this state; default: what is open. This and others may be repeated.")
    ] = None,
    severity: Annotated[Many, typer.Option(help="critical, high, medium or low.")] = None,
    project: Annotated[Many, typer.Option(help="Only this project.")] = None,
    flow: Annotated[Many, typer.Option(help="payin or payout.")] = None,
    reason: Annotated[Many, typer.Option(help="A reason such as late_success.")] = None,
    owner: Annotated[Many, typer.Option(help="Who works on it.")] = None,
    bucket: Annotated[Many, typer.Option(help="An age: <1h, 1-24h, 1-3d, 3-5d, 5-30d or >30d.")] = None,
    lapsed: Annotated[bool, typer.Option("--lapsed", help="Only what agrees by the passing of time alone.")] = False,
    proposed: Annotated[bool, typer.Option("--proposed", help="Only what waits for a second person.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most, 1 to 10000.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List breaks, the most pressing first: severity, a regulator's clock that has run out, value at risk, age.

    Example:  psp breaks list --severity critical --flow payout
    """
    named = {"state": state, "severity": severity, "project": project, "flow": flow}
    named |= {"reason": reason, "owner": owner, "aging_bucket": bucket}
    values = {name: chosen for name, chosen in named.items() if chosen}
    wanted = Wanted(values=values, is_lapsed=lapsed or None, proposed=proposed, limit=limit)
    screen = Screen()
    with _database(screen, "psp breaks list") as connection:
        rows, found = work_list(connection, wanted)
    if as_json:
        screen.json({"found": found, "breaks": rows})
        return
    if not rows:
        screen.say("No such breaks.")
        return
    screen.table(listing(rows))
    more = f" of {found:,}; --limit shows more" if found > len(rows) else ""
    screen.out.print(f"\n[dim]{len(rows):,} breaks{more} · ages as of {rows[0]['evaluated_at']:%Y-%m-%d %H:%M} UTC[/]")


@app.command()
def show(
    break_id: Annotated[str, typer.Argument(metavar="BREAK_ID", help="The break, as `psp breaks list` names it.")],
    as_json: AsJson = False,
) -> None:
    """Show one break: what disagrees, what to do, its clocks, and everything that has happened to it."""
    screen = Screen()
    with _database(screen, "psp breaks show") as connection, explained_failures():
        read_break(connection, break_id)
        row, events = break_row(connection, break_id), read_events(connection, break_id)
    if as_json:
        screen.json({"break": row, "events": [asdict(event) for event in events]})
        return
    screen.table(facts(row or {}))
    screen.out.print()
    screen.table(history(events))


@app.command()
def ack(
    break_ids: Ids, text: OptionalText = "", event: Event = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Acknowledge: take the break on, you become its owner. The SLA goes on until it is closed."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.acknowledge(connection, **_at(target, name, now), text=text)

    _run("ack", break_ids, event, actor, as_json, act)


@app.command()
def assign(
    break_ids: Ids,
    owner: Annotated[str, typer.Option("--to", metavar="NAME", help="Who is to work on it.")],
    text: OptionalText = "",
    event: Event = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Assign the break to somebody; its state stays until that person acknowledges it. The log keeps all."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.assign(connection, **_at(target, name, now), owner=owner, text=text)

    _run("assign", break_ids, event, actor, as_json, act)


@app.command()
def comment(break_ids: Ids, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Write something down on a break, open or closed. Never write a payer's personal data."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.comment(connection, **_at(target, name, now), text=text)

    _run("comment", break_ids, event, actor, as_json, act)


@app.command("ask-provider")
def ask_provider(break_ids: Ids, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Note that a provider was asked and owes the answer (pending_provider); write the ticket into the text."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.ask_provider(connection, **_at(target, name, now), text=text)

    _run("ask-provider", break_ids, event, actor, as_json, act)


@app.command()
def explain(
    break_ids: Ids, code: Code, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Close with an accepted cause: the disagreement stays, its value leaves the value at risk.

    Example:  psp breaks explain ID --code refund_outside_vima -m "ticket 4711, refunded by hand"
    """

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.explain(connection, **_at(target, name, now), reason_code=code, text=text)

    _run("explain", break_ids, event, actor, as_json, act)


@app.command("write-off")
def write_off(
    break_ids: Ids, code: Code, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Close as a loss. Above a threshold (seed break_approvals) it is only proposed, and a second person approves."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.write_off(connection, **_at(target, name, now), reason_code=code, text=text)

    _run("write-off", break_ids, event, actor, as_json, act)


@app.command("exclude-test")
def exclude_test(break_ids: Ids, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Close because the order was a test of our own and no payment. New data about it open the break again.

    Example:  psp breaks exclude-test ID -m "our own phone, 15 January"
    """

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.exclude_test(connection, **_at(target, name, now), text=text)

    _run("exclude-test", break_ids, event, actor, as_json, act)


@app.command("force-match")
def force_match(
    break_id: Annotated[str, typer.Argument(metavar="BREAK_ID", help="A break that lacks one side.")],
    partner: Annotated[str, typer.Option("--with", metavar="BREAK_ID", help="The break that lacks the other side.")],
    text: Text,
    code: Code = "same_payment",
    event: Event = None,
    partner_event: Annotated[
        int | None,
        typer.Option("--with-event", metavar="N", help="The newest event of the other break that you have seen."),
    ] = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Close two one-sided breaks as one payment, of equal amount. Above the threshold a second person approves.

    When the true counterpart of either arrives later, both are opened again by themselves.
    """

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        newest = read_break(connection, partner).last_event_number if partner_event is None else partner_event
        return actions.force_match(
            connection,
            **_at(target, name, now),
            reason_code=code,
            text=text,
            partner_break_id=partner,
            partner_expected_event_number=newest,
        )

    _run("force-match", [break_id], event, actor, as_json, act)


@app.command()
def approve(
    break_ids: Ids, text: OptionalText = "", event: Event = None, actor: Actor = None, as_json: AsJson = False
) -> None:
    """Approve what somebody else has proposed; it is carried out at once. Your own proposals are refused."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.approve(connection, **_at(target, name, now), text=text)

    _run("approve", break_ids, event, actor, as_json, act)


@app.command()
def reject(break_ids: Ids, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Reject what was proposed, or take your own proposal back. The break stays open, and the log says why."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.reject(connection, **_at(target, name, now), text=text)

    _run("reject", break_ids, event, actor, as_json, act)


@app.command()
def reopen(break_ids: Ids, text: Text, event: Event = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Open a closed break again; of a forced match both halves. The earlier decision stays linked."""

    def act(connection: psycopg.Connection[Any], target: Target, name: str, now: datetime) -> Break:
        return actions.reopen(connection, **_at(target, name, now), text=text)

    _run("reopen", break_ids, event, actor, as_json, act)


@app.command()
def verify(
    head: Annotated[
        Many,
        typer.Option("--head", metavar="N:HASH", help="A head that was noted earlier; must still be in the chain."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the hash chain of all events again, and compare the kept states with what the events say.

    Note the head that it prints with each signed day: only an earlier head shows that nothing was cut off at the end.
    """
    screen = Screen()
    with _database(screen, "psp breaks verify") as connection:
        report = verify_log(connection, known_heads=head or ())
    if as_json:
        screen.json({"ok": report.ok, "events": report.events, "head": report.head, "findings": report.findings})
    else:
        screen.out.print(f"{report.events:,} events, head {report.head}")
    for finding in report.findings:
        screen.error(PlatformError(f"The log of breaks was tampered with: {finding}.", fix="restore it from a backup"))
    if not report.ok:
        raise typer.Exit(1)


def _at(target: Target, actor: str, now: datetime) -> dict[str, Any]:
    number = target.expected_event_number
    return {"break_id": target.break_id, "actor": actor, "expected_event_number": number, "at": now}


@contextmanager
def _database(screen: Screen, command: str) -> Iterator[psycopg.Connection[Any]]:
    settings = load_settings()
    with (
        running_parts(settings, command, screen) as url,
        connect(url, role=OPERATOR, autocommit=True, application="psp-breaks") as connection,
    ):
        yield connection


def _run(name: str, break_ids: list[str], event: int | None, actor: str | None, as_json: bool, act: Act) -> None:
    """One action on each break; a table or JSON of what became of them."""
    screen, settings = Screen(), load_settings()
    if event is not None and len(break_ids) > 1:
        raise typer.BadParameter("--event belongs to one break", param_hint="--event")
    who = actor or getpass.getuser()
    with _database(screen, f"psp breaks {name}") as connection, explained_failures():

        def one(target: Target) -> Break:
            number = read_break(connection, target.break_id).last_event_number if event is None else event
            known = Target(break_id=target.break_id, expected_event_number=number)
            return act(connection, known, who, settings.clock())

        results = each([Target(break_id=name, expected_event_number=event or 0) for name in break_ids], one)
    if as_json:
        screen.json({"ok": all(result.ok for result in results), "rows": [_as_json(result) for result in results]})
    else:
        screen.table(outcomes(results))
    for result in results:
        if result.error:
            screen.error(PlatformError(result.error, fix=result.fix or ""))
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _as_json(result: RowResult) -> dict[str, Any]:
    if result.found is None:
        return {"break_id": result.break_id, "ok": False, "kind": result.kind, "error": result.error, "fix": result.fix}
    return {"break_id": result.break_id, "ok": True, "break": asdict(result.found)}
