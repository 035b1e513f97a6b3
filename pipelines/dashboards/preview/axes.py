"""Axes of charts: time as points of a scale for lines, as bands of equal width for bars.

A bar of a time scale would begin at its label and shrink to nothing where there are many; a band keeps its place and
its width, also for the days and hours on which nothing happened.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt

from pipelines.dashboards.warehouse import Kind

INK, SOFT, LINE = "#27324A", "#6B7690", "#E6E9F2"
LABELS = 7
"""Labels that fit beside each other on the narrowest chart."""

FORMATS = ("%d %b %H:%M", "%d %b")
"""Of instants, and of dates."""

MOST_BANDS = 1500
"""More would be thinner than a pixel; the bands that have a bar are then drawn without those between."""


def axis_value(value: Any, zone: ZoneInfo) -> Any:
    """Instants as the wall clock of the business time zone, which the axis then takes for UTC."""
    if isinstance(value, datetime):
        return value.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    return value


def time_scale(kind: Kind, xs: Sequence[str]) -> Any:
    """The axis of a line or an area over dates or instants."""
    axis = _axis()
    axis.format = FORMATS[kind == "date"]
    axis.values = [datetime.fromisoformat(x).timestamp() * 1000 for x in _labelled(kind, _bands(kind, sorted(set(xs))))]
    unit: Any = "utcyearmonthdate" if kind == "date" else "utcyearmonthdatehours"
    return alt.X("x:T", timeUnit=unit, axis=axis, scale=alt.Scale(type="utc"))


def time_bands(kind: Kind, xs: Sequence[str]) -> Any:
    """The axis of bars over dates or instants: every day or hour between the first and the last has its place."""
    bands = _bands(kind, sorted(set(xs)))
    axis = _axis()
    axis.values = _labelled(kind, bands)
    axis.labelExpr = f"utcFormat(toDate(datum.value), '{FORMATS[kind == 'date']}')"
    axis.labelAngle = 0
    axis.ticks = False
    padding = 0.12 if len(bands) < 100 else 0
    return alt.X("x:O", axis=axis, scale=alt.Scale(domain=bands, paddingInner=padding, paddingOuter=padding / 2))


def categories(title: str | None) -> Any:
    """The axis of words, in the order of the rows."""
    axis = _axis(title=title)
    axis.labelAngle = 0
    return alt.X("x:N", axis=axis, sort=None)


def _bands(kind: Kind, xs: list[str]) -> list[str]:
    step = timedelta(days=1) if kind == "date" else timedelta(hours=1)
    at, last = datetime.fromisoformat(xs[0]), datetime.fromisoformat(xs[-1])
    # Weeks and months are dates as well, with nothing between them.
    gaps = {datetime.fromisoformat(later) - datetime.fromisoformat(one) for one, later in pairwise(xs)}
    if (kind == "date" and gaps and min(gaps) > step) or (last - at) / step > MOST_BANDS:
        return xs
    found = set(xs)
    while at < last:
        at += step
        found.add(at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return sorted(found)


def _labelled(kind: Kind, bands: list[str]) -> list[str]:
    """Every so many days; of hours those of a round clock, midnight where there are many."""
    if kind == "date":
        return bands[:: max(1, -(-len(bands) // LABELS))]
    for step in (1, 2, 3, 6, 12, 24, 48, 96, 192):
        found = [band for band in bands if _hours(band) % step == 0]
        if len(found) <= LABELS:
            return found
    return bands[:: -(-len(bands) // LABELS)]


def _hours(band: str) -> int:
    return int(datetime.fromisoformat(band).timestamp() // 3600)


def _axis(title: str | None = None) -> Any:
    return alt.Axis(title=title, grid=False, labelOverlap=True, labelFlush=False, tickColor=LINE, domainColor=LINE)
