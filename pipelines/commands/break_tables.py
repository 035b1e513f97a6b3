"""Tables of `psp breaks`: the work list, one break with its history, and what became of an action."""

from typing import Any

from rich.table import Table

from pipelines.breaks.bulk import RowResult
from pipelines.breaks.ledger import Event

UNSHOWN = ("changed_xid", "evidence_hash")


def facts(row: dict[str, Any]) -> Table:
    """All that is known of one break."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        if value is not None and name not in UNSHOWN:
            table.add_row(f"[bold]{name}[/]", ", ".join(value) if isinstance(value, list) else str(value))
    return table


def history(events: list[Event]) -> Table:
    """Everything that has happened to one break."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("event", "at (UTC)", "actor", "action", "state", "cause", "text"):
        table.add_column(name, overflow="fold")
    for event in events:
        said = (event.action, event.to_state, event.cause or "", event.text or event.owner or "")
        table.add_row(str(event.event_number), f"{event.at:%Y-%m-%d %H:%M:%S}", event.actor, *said)
    return table


def outcomes(results: list[RowResult]) -> Table:
    """What became of each row of an action."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("break", "result", "state", "event", "waits for"):
        table.add_column(name, no_wrap=name == "break")
    for result in results:
        found = result.found
        if found is None:
            table.add_row(result.break_id, f"[red]{result.kind}[/]", "", "", "")
        else:
            waiting = f"approval of {found.proposal}" if found.proposal else ""
            table.add_row(result.break_id, "[green]ok[/]", found.state, str(found.last_event_number), waiting)
    return table


def listing(rows: list[dict[str, Any]]) -> Table:
    """The work list."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in ("break", "severity", "reason", "order", "state", "owner", "age"):
        table.add_column(name, no_wrap=name == "break", overflow="fold")
    table.add_column("at risk", justify="right", no_wrap=True)
    table.add_column("clocks", overflow="fold")
    for row in rows:
        ran_out = {"is_sla_breached": "SLA", "is_tat_breached": "TAT", "is_lapsed": "lapsed"}
        clocks = [word for flag, word in ran_out.items() if row[flag]]
        clocks += [f"approve {row['proposal']}"] if row["proposal"] else []
        table.add_row(
            *(row["break_id"], row["severity"], row["reason"], f"{row['flow']} {row['order_key'] or '-'}"),
            *(row["state"], row["owner"] or "-", row["aging_bucket"]),
            *(f"{row['value_at_risk']:,} {row['currency'] or ''}", " ".join(clocks)),
        )
    return table
