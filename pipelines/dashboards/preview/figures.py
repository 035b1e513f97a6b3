"""What is neither a chart nor a table: single numbers, numbers with a comparison, funnels, headings and texts."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.dashboards.columns import column_settings
from pipelines.dashboards.entities import Settings
from pipelines.dashboards.preview.formats import NOTHING, number, shown
from pipelines.dashboards.warehouse import Result

LONG = 14
"""More letters than a narrow card holds at full size; Metabase shrinks them as well."""


def scalar(settings: Settings, result: Result, zone: ZoneInfo) -> str:
    """One number, as large as it matters."""
    field = settings["scalar.field"]
    value = result.values(field)[0] if result.rows else None
    told = shown(value, result.kind(field), _of(settings, field), zone)
    size = "figure long" if len(told) > LONG else "figure"
    return f'<div class="{size}">{escape(told)}</div>'


def smart_scalar(settings: Settings, result: Result, zone: ZoneInfo) -> str:
    """The newest number and how it compares."""
    field = settings["scalar.field"]
    values = result.values(field)
    if not values:
        return f'<div class="figure">{NOTHING}</div>'
    newest = values[-1]
    parts = [f'<div class="figure">{escape(shown(newest, result.kind(field), _of(settings, field), zone))}</div>']
    for comparison in settings["scalar.comparisons"]:
        before, label = _before(comparison, result, field, values)
        parts.append(_change(newest, before, label, _of(settings, field), settings))
    return "".join(parts)


def _before(comparison: Mapping[str, Any], result: Result, field: str, values: list[Any]) -> tuple[Any, str]:
    kind = comparison["type"]
    if kind == "anotherColumn":
        return result.values(comparison["column"])[-1], str(comparison.get("label") or comparison["column"])
    if kind == "staticNumber":
        return comparison["value"], str(comparison.get("label") or "target")
    back = int(comparison.get("value", 1)) if kind == "periodsAgo" else 1
    return (values[-1 - back] if len(values) > back else None), "previous"


def _change(newest: Any, before: Any, label: str, formats: Mapping[str, Any], settings: Settings) -> str:
    if newest is None or before is None or not float(before):
        return f'<div class="change">no {escape(label)}</div>'
    change = float(newest) / float(before) - 1
    good = (change >= 0) != bool(settings.get("scalar.switch_positive_negative"))
    arrow = "▲" if change >= 0 else "▼"
    tone = "even" if abs(change) < 0.0005 else "good" if good else "bad"
    return (
        f'<div class="change"><b class="{tone}">{arrow} {abs(change):.1%}</b> {escape(label)}: '
        f"{escape(number(before, formats))}</div>"
    )


def funnel(settings: Settings, result: Result, zone: ZoneInfo) -> str:
    """Steps as bars, each with its share of the first and of the step before."""
    name, metric = settings["funnel.dimension"], settings["funnel.metric"]
    steps = list(zip(result.values(name), [float(value or 0) for value in result.values(metric)], strict=True))
    first = steps[0][1] if steps else 0.0
    if not first:
        return ""
    parts = ['<div class="funnel">']
    before = first
    for step, value in steps:
        kept = f"{value / before:.1%} of the step before" if before and value != first else ""
        parts.append(
            f'<div class="step"><span>{escape(str(step))}</span>'
            f'<div class="track"><i style="width:{value / first:.2%}"></i>'
            f"</div><b>{value:,.0f}</b><em>{value / first:.1%}</em><small>{kept}</small></div>"
        )
        before = value
    return "".join([*parts, "</div>"])


def heading(settings: Settings) -> str:
    """A heading of the dashboard."""
    return f"<h2>{escape(str(settings.get('text', '')))}</h2>"


def text(settings: Settings) -> str:
    """A text with the little Markdown that is used: **strong**, *emphasis*, `code`, [links](address)."""
    lines = escape(str(settings.get("text", "")), quote=False)
    for pattern, form in (
        (r"\*\*(.+?)\*\*", r"<b>\1</b>"),
        (r"(?<!\*)\*([^*\n]+?)\*(?!\*)", r"<em>\1</em>"),
        (r"`([^`]+)`", r"<code>\1</code>"),
        (r"\[([^\]]+)\]\(((?:https?://|/)[^)\s]+)\)", r'<a href="\2">\1</a>'),
    ):
        lines = re.sub(pattern, form, lines)
    return f'<div class="note">{lines.replace(chr(10), "<br>")}</div>'


def _of(settings: Settings, column: str) -> Mapping[str, Any]:
    return column_settings(settings).get(column, {})
