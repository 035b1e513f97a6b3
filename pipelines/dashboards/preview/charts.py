"""Charts as SVG: a card's rows through Altair and vl-convert, in this process, without a network.

Every mark carries its own words (`aria-label`): a screen reader reads them, and the page shows them as a tooltip.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import vl_convert

from pipelines.dashboards.columns import column_settings
from pipelines.dashboards.entities import Settings
from pipelines.dashboards.preview import axes
from pipelines.dashboards.preview.axes import INK, LINE, SOFT
from pipelines.dashboards.preview.formats import axis_format, shown, title_of
from pipelines.dashboards.warehouse import Result

PALETTE = ("#3C6FD1", "#2E9E6B", "#E8A93A", "#7A5BC7", "#D6455D", "#2AA5B8", "#E07B39", "#5B6B8C", "#B0529B", "#8CA63A")
FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
LEGEND_COLUMNS = 6
Point = dict[str, Any]


class Drawing:
    """One chart of one result, `width` by `height` pixels."""

    def __init__(self, settings: Settings, result: Result, zone: ZoneInfo, width: int, height: int) -> None:
        self._settings, self._result, self._zone = settings, result, zone
        self._width, self._height = width, height
        self._columns = column_settings(settings)

    def svg(self, display: str) -> str:
        """The chart of that display."""
        draw: Mapping[str, Callable[[], Any]] = {
            "bar": self._bar,
            "line": self._line,
            "area": self._area,
            "row": self._row,
            "waterfall": self._waterfall,
            "pie": self._pie,
        }
        chart = _themed(draw[display]())
        return str(vl_convert.vegalite_to_svg(chart.to_dict()))

    # -- data

    def _place(self, column: str, value: Any) -> Any:
        return axes.axis_value(value, self._zone) if self._is_time(column) else self._text(column, value)

    def _is_time(self, column: str) -> bool:
        timeless = self._settings.get("graph.x_axis.scale") == "ordinal"
        return self._result.kind(column) in ("date", "instant") and not timeless

    def _of(self, column: str) -> Mapping[str, Any]:
        return self._columns.get(column, {})

    def _text(self, column: str, value: Any) -> str:
        return shown(value, self._result.kind(column), self._of(column), self._zone)

    def _points(self) -> tuple[list[Point], list[str], dict[str, str]]:
        """One point per x and series, the series in order, their colours."""
        dimensions = list(self._settings["graph.dimensions"])
        metrics = list(self._settings["graph.metrics"])
        names = self._result.columns
        split = dimensions[1] if len(dimensions) > 1 else None
        points: list[Point] = []
        for row in self._result.rows:
            record = dict(zip(names, row, strict=True))
            for metric in metrics:
                if record[metric] is None and (split or not self._breaks(metric)):
                    continue
                series = self._text(split, record[split]) if split else title_of(metric, self._of(metric))
                x, y = record[dimensions[0]], None if record[metric] is None else float(record[metric])
                told = f"{self._text(dimensions[0], x)} · {series}: {self._text(metric, record[metric])}"
                points.append({"x": self._place(dimensions[0], x), "series": series, "y": y, "told": told})
        order = list(dict.fromkeys(point["series"] for point in points))
        if split:
            totals = {name: sum(abs(point["y"]) for point in points if point["series"] == name) for name in order}
            # A scale such as severity keeps the order in which the card names its colours.
            named = list(self._settings.get("series_settings") or ())
            order.sort(key=lambda name: (named.index(name) if name in named else len(named), -totals[name], name))
        else:
            wanted = [title_of(metric, self._of(metric)) for metric in metrics]
            order = [name for name in wanted if name in order]
        given = self._settings.get("series_settings") or {}
        colours = {
            name: given.get(name, {}).get("color") or PALETTE[place % len(PALETTE)] for place, name in enumerate(order)
        }
        return points, order, colours

    def _breaks(self, series: str) -> bool:
        """Whether a line ends where it has no value, instead of going straight to the next one."""
        return bool((self._settings.get("series_settings") or {}).get(series, {}).get("line.missing") == "none")

    def _dash(self, series: str) -> list[int]:
        given = (self._settings.get("series_settings") or {}).get(series, {})
        return {"dashed": [5, 4], "dotted": [1, 4]}.get(str(given.get("line.style")), [1, 0])

    # -- encodings

    def _x(self, points: Sequence[Point], *, bands: bool = False) -> Any:
        column = self._settings["graph.dimensions"][0]
        if not self._is_time(column) or not points:
            return axes.categories(self._settings.get("graph.x_axis.title_text") or None)
        place = axes.time_bands if bands else axes.time_scale
        return place(self._result.kind(column), [point["x"] for point in points])

    def _y(self, **more: Any) -> Any:
        metric = self._settings["graph.metrics"][0]
        normalized = self._settings.get("stackable.stack_type") == "normalized"
        title = self._settings.get("graph.y_axis.title_text") or None
        axis = alt.Axis(
            title=None if normalized else title,
            format=".0%" if normalized else axis_format(self._of(metric)),
            tickCount=5,
            gridColor=LINE,
            domain=False,
            ticks=False,
            labelPadding=6,
            titlePadding=12,
        )
        return alt.Y("y:Q", axis=axis, **more)

    def _colour(self, order: list[str], colours: Mapping[str, str]) -> Any:
        legend = None
        if len(order) > 1 or len(self._settings["graph.dimensions"]) > 1:
            legend = alt.Legend(title=None, orient="top", columns=LEGEND_COLUMNS, symbolType="circle", symbolSize=70)
        scale = alt.Scale(domain=order, range=[colours[name] for name in order])
        return alt.Color("series:N", scale=scale, legend=legend, sort=order)

    def _chart(self, points: Sequence[Point]) -> Any:
        return _over(points).properties(width=self._width, height=self._height)

    # -- displays

    def _bar(self) -> Any:
        points, order, colours = self._points()
        ranks = {name: place for place, name in enumerate(order)}
        for point in points:
            point["rank"] = ranks[point["series"]]
        how = {"stacked": "zero", "normalized": "normalize"}.get(str(self._settings.get("stackable.stack_type")))
        encodings: dict[str, Any] = {
            "x": self._x(points, bands=True),
            "y": self._y(stack=how) if how else self._y(stack=None),
            "color": self._colour(order, colours),
            "order": alt.Order("rank:Q"),
            "description": alt.Description("told:N"),
        }
        if not how and len(order) > 1:
            encodings["xOffset"] = alt.XOffset("series:N", sort=order)
        return self._chart(points).mark_bar(cornerRadius=1.5).encode(**encodings)

    def _line(self) -> Any:
        points, order, colours = self._points()
        logarithmic = self._settings.get("graph.y_axis.scale") == "log"
        if logarithmic:
            points = [point for point in points if point["y"] > 0]
        scale = alt.Scale(zero=False, nice=True, type="log" if logarithmic else "linear")
        base = self._chart(points).encode(x=self._x(points), y=self._y(scale=scale), color=self._colour(order, colours))
        dash = alt.StrokeDash(
            "series:N", legend=None, scale=alt.Scale(domain=order, range=[self._dash(n) for n in order])
        )
        lines = base.mark_line(strokeWidth=2.2, strokeCap="round", strokeJoin="round").encode(strokeDash=dash)
        # Many points would hide their line.
        size = 34 if len(points) < 120 * len(order) else 8
        dots = base.mark_point(filled=True, size=size, opacity=1).encode(description=alt.Description("told:N"))
        return alt.layer(lines, dots).properties(width=self._width, height=self._height)

    def _area(self) -> Any:
        points, order, colours = self._points()
        ranks = {name: place for place, name in enumerate(order)}
        for point in points:
            point["rank"] = ranks[point["series"]]
        how = "normalize" if self._settings.get("stackable.stack_type") == "normalized" else "zero"
        base = self._chart(points).encode(
            x=self._x(points), y=self._y(stack=how), color=self._colour(order, colours), order=alt.Order("rank:Q")
        )
        areas = base.mark_area(opacity=0.78, line={"strokeWidth": 1.6})
        dots = base.mark_point(filled=True, size=60, opacity=0).encode(description=alt.Description("told:N"))
        return alt.layer(areas, dots).properties(width=self._width, height=self._height)

    def _row(self) -> Any:
        points, _, _ = self._points()
        for point in points:
            point["label"] = point["told"].rpartition(": ")[2]
        metric = self._settings["graph.metrics"][0]
        y = alt.Y("x:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=190))
        x = alt.X(
            "y:Q",
            axis=alt.Axis(title=None, format=axis_format(self._of(metric)), tickCount=5, gridColor=LINE, domain=False),
        )
        base = self._chart(points).encode(y=y, x=x)
        bars = base.mark_bar(cornerRadiusEnd=3, color=PALETTE[0]).encode(description=alt.Description("told:N"))
        labels = base.mark_text(align="left", dx=5, color=SOFT).encode(text="label:N")
        return alt.layer(bars, labels).properties(width=self._width, height=self._height)

    def _waterfall(self) -> Any:
        points, _, _ = self._points()
        up = self._settings.get("waterfall.increase_color", PALETTE[1])
        down = self._settings.get("waterfall.decrease_color", PALETTE[4])
        reached = 0.0
        for point in points:
            point["from"], reached = reached, reached + point["y"]
            point["to"] = reached
            point["colour"] = up if point["y"] >= 0 else down
        if self._settings.get("waterfall.show_total", True):
            metric = self._settings["graph.metrics"][0]
            colour = self._settings.get("waterfall.total_color", PALETTE[0])
            told = f"Total: {shown(reached, 'number', self._of(metric), self._zone)}"
            points.append({"x": "Total", "from": 0.0, "to": reached, "colour": colour, "told": told})
        axis = alt.Axis(title=None, format="~s", tickCount=5, gridColor=LINE, domain=False, ticks=False)
        x = alt.X(
            "x:N",
            sort=None,
            axis=alt.Axis(title=None, labelAngle=0, labelExpr="split(datum.label, ' ')", ticks=False, domainColor=LINE),
        )
        return (
            self._chart(points)
            .mark_bar(cornerRadius=2)
            .encode(
                x=x,
                y=alt.Y("from:Q", axis=axis),
                y2="to:Q",
                color=alt.Color("colour:N", scale=None),
                description=alt.Description("told:N"),
            )
        )

    def _pie(self) -> Any:
        name, metric = self._settings["pie.dimension"], self._settings["pie.metric"]
        pairs = [
            (self._text(name, key), float(value or 0))
            for key, value in zip(self._result.values(name), self._result.values(metric), strict=True)
        ]
        whole = sum(value for _, value in pairs) or 1.0
        given = self._settings.get("pie.colors") or {}
        points: list[Point] = [
            {
                "series": f"{key}  {value / whole:.0%}",
                "y": value,
                "rank": place,
                "told": f"{key}: {value:,.0f} ({value / whole:.1%})",
            }
            for place, (key, value) in enumerate(pairs)
        ]
        colours = [given.get(key) or PALETTE[place % len(PALETTE)] for place, (key, _) in enumerate(pairs)]
        radius = min(self._width, self._height) / 2 - 4
        legend = alt.Legend(title=None, orient="right", symbolType="circle", labelLimit=220, labelFontSize=12)
        arcs = (
            self._chart(points)
            .mark_arc(innerRadius=radius * 0.62, outerRadius=radius, padAngle=0.012, cornerRadius=2)
            .encode(
                theta=alt.Theta("y:Q", stack=True),
                order=alt.Order("rank:Q"),
                color=alt.Color(
                    "series:N",
                    sort=[point["series"] for point in points],
                    scale=alt.Scale(domain=[point["series"] for point in points], range=colours),
                    legend=legend,
                ),
                description=alt.Description("told:N"),
            )
        )
        total = (
            _over([{"told": f"{sum(value for _, value in pairs):,.0f}"}])
            .mark_text(fontSize=22, fontWeight=600, color=INK)
            .encode(text="told:N")
        )
        return alt.layer(arcs, total).properties(width=self._width, height=self._height)


def _over(points: Sequence[Point]) -> Any:
    data: Any = {"values": list(points)}
    return alt.Chart(alt.Data.from_dict(data))


def _themed(chart: Any) -> Any:
    return (
        chart.configure(font=FONT, background="transparent", padding={"left": 2, "right": 8, "top": 4, "bottom": 2})
        .configure_view(stroke=None)
        .configure_axis(labelColor=SOFT, titleColor=SOFT, labelFontSize=11, titleFontSize=11, titleFontWeight="normal")
        .configure_legend(labelColor=INK, labelFontSize=11.5, offset=6, rowPadding=3, columnPadding=14)
    )
