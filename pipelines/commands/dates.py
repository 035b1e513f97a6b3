"""Ranges of days as people write them on the command line."""

from datetime import date, timedelta

import typer

MAX_DAYS = 400


def parse_day(text: str) -> date:
    """A day written 2026-01-15; for typer, which turns a ValueError into a message about the option."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day as 2026-01-15") from None


def day_range(first: date | None, last: date | None) -> list[date]:
    """Every day from `first` to `last`, both included; empty when neither is given. Raises BadParameter."""
    if first is None and last is None:
        return []
    if first is None or last is None:
        raise typer.BadParameter("give both --from and --to, or neither")
    if first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")
    if (last - first).days >= MAX_DAYS:
        raise typer.BadParameter(f"a range is {MAX_DAYS} days at most; split it")
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
