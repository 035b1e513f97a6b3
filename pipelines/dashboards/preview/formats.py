"""Values as a card shows them: numbers by their column's settings, instants in the business time zone."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.dashboards.warehouse import Kind

NOTHING = "–"


def title_of(column: str, settings: Mapping[str, Any]) -> str:
    """The heading of a column."""
    return str(settings.get("column_title") or column.replace("_", " ")).strip()


def shown(value: Any, kind: Kind, settings: Mapping[str, Any], zone: ZoneInfo) -> str:
    """The value as text."""
    if value is None:
        return NOTHING
    if kind == "number":
        return number(value, settings)
    if isinstance(value, datetime):
        seconds = settings.get("time_enabled") in (None, "seconds", "milliseconds")
        return value.astimezone(zone).strftime("%d %b %Y %H:%M:%S" if seconds else "%d %b %Y %H:%M")
    if isinstance(value, date):
        return value.strftime("%d %b %Y")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def number(value: Any, settings: Mapping[str, Any]) -> str:
    """A number with thousands apart; decimals as set, else as many as it has."""
    exact = Decimal(str(value)) * Decimal(str(settings.get("scale", 1)))
    percent = settings.get("number_style") == "percent"
    if percent:
        exact *= 100
    decimals = settings.get("decimals")
    if decimals is None:
        exponent = exact.normalize().as_tuple().exponent
        decimals = min(max(-exponent, 0), 6) if isinstance(exponent, int) else 0
    text = f"{exact:,.{decimals}f}"
    # -0.0 is nothing.
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]
    return f"{settings.get('prefix', '')}{text}{' %' if percent else ''}{settings.get('suffix', '')}"


def axis_format(settings: Mapping[str, Any]) -> str:
    """The format of an axis, in d3's words."""
    return "~%" if settings.get("number_style") == "percent" else "~s"
