"""`psp reconcile`: what agrees, what does not and what it is worth, from marts.rpt_reconciliation_daily."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import psycopg
import typer
from psycopg.rows import dict_row
from rich.table import Table

from pipelines.commands import rules
from pipelines.commands.console import Screen
from pipelines.commands.dates import day_range, parse_day
from pipelines.commands.parts import running_parts
from pipelines.core.errors import DatabaseError
from pipelines.core.money import minor_unit_exponents
from pipelines.core.postgres import READER, connect
from pipelines.core.settings import load_settings

DEFAULT_DAYS = 7

COUNTS = (
    "records_count",
    "comparable_count",
    "matched_count",
    "discrepancy_amount_count",
    "discrepancy_status_count",
    "missing_vima_count",
    "missing_payshack_count",
    "in_flight_count",
    "not_yet_comparable_count",
    "informational_count",
)
BRIDGE = {
    "vima_net": "Vima net",
    "bridge_tolerance": "- within tolerance",
    "bridge_discrepancy_amount": "- amount differs",
    "bridge_discrepancy_status": "- status differs",
    "bridge_missing_vima": "- missing in Vima",
    "bridge_missing_payshack": "- missing in PayShack",
    "bridge_in_flight": "- in flight",
    "bridge_not_yet_comparable": "- not yet comparable",
    "bridge_informational": "- informational",
    "payshack_net": "= PayShack net",
    "bridge_residual": "residual",
}
MONEY = ("matched_amount", "comparable_amount", "value_at_risk", *BRIDGE)

Row = dict[str, Any]


app = typer.Typer(invoke_without_command=True, subcommand_metavar="[diff ...]")
app.command()(rules.diff)


@app.callback()
def reconcile(
    context: typer.Context,
    first: Annotated[
        date | None,
        typer.Option("--from", parser=parse_day, metavar="DAY", help="First business date. Default: a week of days."),
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="Last business date, included.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only this project; may be repeated.")] = None,
    flow: Annotated[Literal["payin", "payout"] | None, typer.Option(help="Only this flow.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Show how far Vima and PayShack agree, and what the difference is made of.

    Counts per project, flow and currency, the match rate (matched of comparable), the value at risk, and the bridge:
    Vima's net less each kind of difference gives PayShack's net, and the residual is what nothing explains.

    It reads what the last `psp up` or `psp sync` has built; it loads nothing.

    Example:  psp reconcile --from 2026-01-10 --to 2026-01-16 --flow payin
    """
    if context.invoked_subcommand:
        return
    settings, screen = load_settings(), Screen()
    if first is None and last is None:
        last = settings.clock().astimezone(settings.business_zone).date()
        first = last - timedelta(days=DEFAULT_DAYS - 1)
    days = day_range(first, last)
    with running_parts(settings, "psp reconcile", screen) as url:
        rows, as_of = _read(url, days[0], days[-1], project or [], flow)
    if as_json:
        screen.json({"from_date": days[0], "to_date": days[-1], "as_of": as_of, "groups": rows})
        return
    if not rows:
        screen.say(f"No payments between {days[0]} and {days[-1]}.")
        return
    screen.table(_outcomes(rows))
    screen.out.print(
        "[dim]differ: in amount/state · missing: in Vima/PayShack · open: in flight or not yet comparable[/]\n"
    )
    screen.table(_bridge(rows))
    complete = f"{as_of:%Y-%m-%d %H:%M:%S} UTC" if as_of else "no complete pass yet"
    screen.out.print(f"\n[dim]{days[0]} to {days[-1]}, business dates · both sources complete to: {complete}[/]")


def _read(url: str, first: date, last: date, projects: list[str], flow: str | None) -> tuple[list[Row], Any]:
    sums = ", ".join(f"sum({name}) as {name}" for name in (*COUNTS, *MONEY))
    query = (
        f"select project, flow, currency, {sums} from marts.rpt_reconciliation_daily"  # noqa: S608 - names of our own
        " where business_date between %(first)s and %(last)s"
        " and (cardinality(%(projects)s::text[]) = 0 or project = any(%(projects)s))"
        " and (%(flow)s::text is null or flow = %(flow)s)"
        " group by project, flow, currency order by project, flow, currency"
    )
    parameters = {"first": first, "last": last, "projects": projects, "flow": flow}
    with connect(url, role=READER, application="psp-reconcile") as connection:
        try:
            rows = connection.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchall()
            found = connection.execute(
                "select case when count(watermark) = count(*) then min(watermark) end from marts.rpt_source_health"
            ).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise DatabaseError("There are no marts yet.", fix="run `psp sync all`, or `psp up`") from None
    for row in rows:
        comparable = row["comparable_count"]
        row["match_rate"] = round(Decimal(row["matched_count"]) / comparable, 6) if comparable else None
        for name in COUNTS:
            row[name] = int(row[name])
    return rows, found[0] if found else None


def _outcomes(rows: list[Row]) -> Table:
    """One line per group, narrow enough for 80 columns; `--json` has every count apart."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("project", overflow="fold")
    table.add_column("flow", no_wrap=True)
    headers = ("records", "matched", "match\nrate", "differ\namt/st", "missing\nV/PS", "open")
    for header in (*headers, "value\nat risk"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["project"],
            f"{row['flow']} {row['currency']}",
            f"{row['records_count']:,}",
            f"{row['matched_count']:,}",
            f"{row['match_rate']:.2%}" if row["match_rate"] is not None else "-",
            f"{row['discrepancy_amount_count']:,}/{row['discrepancy_status_count']:,}",
            f"{row['missing_vima_count']:,}/{row['missing_payshack_count']:,}",
            f"{row['in_flight_count'] + row['not_yet_comparable_count']:,}",
            _money(row["value_at_risk"], row["currency"]),
        )
    return table


def _bridge(rows: list[Row]) -> Table:
    """One column per flow and currency, projects summed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    groups = sorted({(row["flow"], row["currency"]) for row in rows})
    table.add_column("bridge", no_wrap=True)
    for flow, currency in groups:
        table.add_column(f"{flow} {currency}", justify="right", no_wrap=True)
    for name, title in BRIDGE.items():
        sums = [
            sum((row[name] for row in rows if (row["flow"], row["currency"]) == group), Decimal(0)) for group in groups
        ]
        style = "bold red" if name == "bridge_residual" and any(sums) else None
        table.add_row(
            title, *(_money(value, currency) for value, (_, currency) in zip(sums, groups, strict=True)), style=style
        )
    return table


def _money(amount: Decimal, currency: str) -> str:
    """With the decimals of its currency; more only where there are more, which nobody should overlook."""
    decimals = max(minor_unit_exponents().get(currency, 0), -int(amount.normalize().as_tuple().exponent), 0)
    return f"{amount:,.{decimals}f}"
