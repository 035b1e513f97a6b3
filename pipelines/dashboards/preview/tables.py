"""Tables as HTML: columns in their order, conditional colours, small bars, links to other dashboards."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.dashboards.columns import column_settings
from pipelines.dashboards.entities import Settings
from pipelines.dashboards.preview.formats import shown, title_of
from pipelines.dashboards.warehouse import Result

Row = Mapping[str, Any]
Link = Callable[[str | None, Row], str | None]
"""Where a click on that column of that row leads; the column None is the whole card."""

DENSE = 20
"""A table of more columns, such as the hours of a day, is set narrower so that all of it is seen at once."""


def table(settings: Settings, result: Result, zone: ZoneInfo, link: Link) -> str:
    """The table. A column that a click opens is a link; where the whole card has a click, the first column is one."""
    columns = [item["name"] for item in settings.get("table.columns") or () if item.get("enabled", True)]
    formats = column_settings(settings)
    rules = list(settings.get("table.column_formatting") or ())
    greatest = {name: _greatest(result.values(name)) for name in columns if formats.get(name, {}).get("show_mini_bar")}
    spans = {id(rule): _span(rule, result) for rule in rules if rule.get("type") == "range"}
    parts = [f"<table{' class=dense' if len(columns) > DENSE else ''}><thead><tr>"]
    for name in columns:
        side = ' class="num"' if result.kind(name) == "number" else ""
        parts.append(f"<th{side}>{escape(title_of(name, formats.get(name, {})))}</th>")
    parts.append("</tr></thead><tbody>")
    for values in result.rows:
        row = dict(zip(result.columns, values, strict=True))
        whole = next((rule["color"] for rule in rules if rule.get("highlight_row") and _fits(rule, row)), None)
        parts.append(f'<tr style="background:{_soft(whole)}">' if whole else "<tr>")
        for place, name in enumerate(columns):
            parts.append(_cell(name, row, place == 0, formats, rules, spans, greatest, result, zone, link))
        parts.append("</tr>")
    parts.append("</tbody></table>")
    if result.more:
        parts.append(f'<p class="more">The first {len(result.rows):,} rows; there are more.</p>')
    return "".join(parts)


def _cell(
    name: str,
    row: Row,
    first: bool,
    formats: Mapping[str, Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]],
    spans: Mapping[int, tuple[float, float]],
    greatest: Mapping[str, float],
    result: Result,
    zone: ZoneInfo,
    link: Link,
) -> str:
    value, kind = row[name], result.kind(name)
    text = escape(shown(value, kind, formats.get(name, {}), zone))
    classes = ["num"] if kind == "number" else []
    style, pill = "", None
    for rule in rules:
        if name not in rule["columns"]:
            continue
        if rule.get("type") == "range" and value is not None:
            style = f"background:{_between(rule['colors'], float(value), *spans[id(rule)])}"
            break
        if rule.get("type") == "single" and not rule.get("highlight_row") and _fits(rule, row):
            pill = rule["color"]
            break
    if pill and kind == "number":
        style = f"color:{pill};font-weight:600"
    elif pill:
        text = f'<span class="pill" style="color:{pill};background:{_soft(pill)}">{text}</span>'
    target = (link(name, row) or (link(None, row) if first else None)) if value is not None else None
    if target:
        text = f'<a href="{escape(target)}">{text}</a>'
    if name in greatest and value is not None and greatest[name]:
        share = max(0.0, min(1.0, float(value) / greatest[name])) * 100
        text = f'<div><span class="meter"><i style="width:{share:.1f}%"></i></span><span>{text}</span></div>'
        classes.append("with-bar")
    attributes = f' class="{" ".join(classes)}"' if classes else ""
    return f"<td{attributes}{f' style={chr(34)}{style}{chr(34)}' if style else ''}>{text}</td>"


def _greatest(values: Sequence[Any]) -> float:
    return max((float(value) for value in values if value is not None), default=0.0)


def _span(rule: Mapping[str, Any], result: Result) -> tuple[float, float]:
    numbers = [float(v) for name in rule["columns"] for v in result.values(name) if v is not None] or [0.0]
    low = float(rule["min_value"]) if rule.get("min_type") == "custom" else min(numbers)
    high = float(rule["max_value"]) if rule.get("max_type") == "custom" else max(numbers)
    return low, high


def _fits(rule: Mapping[str, Any], row: Row) -> bool:
    return any(_holds(str(rule["operator"]), row.get(name), rule.get("value")) for name in rule["columns"])


def _holds(operator: str, value: Any, wanted: Any) -> bool:
    """Metabase's conditions; nothing but is-null is true of nothing."""
    if operator in ("is-null", "not-null"):
        return (value is None) == (operator == "is-null")
    if value is None:
        return False
    if operator in ("is-true", "is-false"):
        return bool(value) == (operator == "is-true")
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        left, right = Decimal(str(value)), Decimal(str(wanted))
        compared = {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}
        return compared.get(operator, (left == right) == (operator == "="))
    text, other = str(value), str(wanted)
    tests = {
        "=": text == other,
        "!=": text != other,
        "contains": other in text,
        "does-not-contain": other not in text,
        "starts-with": text.startswith(other),
        "ends-with": text.endswith(other),
    }
    return tests.get(operator, False)


def _soft(colour: str | None) -> str:
    """A colour as a background for text."""
    red, green, blue = _channels(colour or "#ffffff")
    return f"rgba({red},{green},{blue},.13)"


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _between(colours: Sequence[str], value: float, low: float, high: float) -> str:
    """The colour at the value's place between the least and the greatest."""
    if high <= low:
        return colours[-1]
    place = max(0.0, min(1.0, (value - low) / (high - low))) * (len(colours) - 1)
    below = min(int(place), len(colours) - 2)
    share = place - below
    mixed = [
        round(one + (two - one) * share)
        for one, two in zip(_channels(colours[below]), _channels(colours[below + 1]), strict=True)
    ]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
