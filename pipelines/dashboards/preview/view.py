"""What a page shows for some values of its filters: values by tag, rows by card, targets of clicks.

Dashboard + {slug: [values]} -> View: one Tile per dashcard
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import psycopg

from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.dashboards.columns import Click, clicks
from pipelines.dashboards.dates import parse_days
from pipelines.dashboards.entities import Card, Content, Dashboard, Dashcard, Parameter, Tag
from pipelines.dashboards.templates import Values
from pipelines.dashboards.warehouse import Result, business_today, choices, run_card

Asked = Mapping[str, Sequence[str]]
"""Values by slug as an address holds them. Absent: the default. Present and empty: no filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter with its values; `choices` is None where a text is typed."""

    parameter: Parameter
    values: tuple[str, ...]
    choices: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A dashcard with what its card gave. `problem` is why there is nothing."""

    place: Dashcard
    card: Card | None
    settings: Mapping[str, Any]
    result: Result | None
    problem: str | None = None


PRESETS = (
    ("today", "Today"),
    ("yesterday", "Yesterday"),
    ("past1days~", "Yesterday and today"),
    ("past7days~", "7 days and today"),
    ("past14days~", "14 days and today"),
    ("past30days~", "30 days and today"),
    ("thismonth", "This month"),
    ("lastmonth", "Last month"),
)


def told(item: Filter) -> str:
    """The values of a filter in words."""
    words = dict(PRESETS)
    return ", ".join(words.get(value, value) for value in item.values) or "any"


class View:
    """One dashboard with some values, read in one snapshot."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        settings: Settings,
        content: Content,
        dashboard: Dashboard,
        asked: Asked,
    ) -> None:
        """Raises DashboardError for a filter that the dashboard has not, or a date that is none."""
        self.content, self.dashboard = content, dashboard
        self.zone = settings.business_zone
        self.now = settings.clock()
        self._connection, self._today = connection, business_today(settings)
        unknown = sorted(set(asked) - {item.slug for item in dashboard.parameters})
        if unknown:
            known = ", ".join(item.slug for item in dashboard.parameters)
            raise DashboardError(f"{dashboard.name} has no filter {', '.join(unknown)}.", fix=f"use {known}")
        self.values = {item.id: _values(item, asked) for item in dashboard.parameters}
        for item in dashboard.parameters:
            if item.type.startswith("date/"):
                for value in self.values[item.id]:
                    parse_days(value, self._today)
        self.filters = [self._filter(item) for item in dashboard.parameters]
        self.tiles = [self._tile(place) for place in dashboard.dashcards]

    def _filter(self, parameter: Parameter) -> Filter:
        values = self.values[parameter.id]
        typed = parameter.type.startswith("date/") or parameter.raw.get("values_query_type") == "none"
        tag = None if typed else self._field_filter(parameter)
        found = choices(self._connection, tag.field) if tag is not None and tag.field is not None else None
        return Filter(
            parameter=parameter,
            values=values,
            choices=None if found is None else tuple(dict.fromkeys([*found, *values])),
        )

    def _field_filter(self, parameter: Parameter) -> Tag | None:
        """The first field filter that the parameter feeds: its field's values are the choices."""
        for place in self.dashboard.dashcards:
            for wire in place.mappings:
                if wire.parameter_id == parameter.id and place.card_id is not None:
                    tag = self.content.cards[place.card_id].tags.get(wire.tag)
                    if tag is not None and tag.field is not None:
                        return tag
        return None

    def _tile(self, place: Dashcard) -> Tile:
        if place.card_id is None:
            return Tile(place=place, card=None, settings=place.settings, result=None)
        card = self.content.cards[place.card_id]
        merged = _merged(card.settings, place.settings)
        values: Values = {wire.tag: self.values.get(wire.parameter_id, ()) for wire in place.mappings}
        try:
            result = run_card(self._connection, card, values, self._today)
        except DashboardError as error:
            return Tile(place=place, card=card, settings=merged, result=None, problem=error.message)
        return Tile(place=place, card=card, settings=merged, result=result)

    def why_empty(self, tile: Tile) -> str:
        """Why a card shows nothing, in words of its filters."""
        if tile.problem:
            return tile.problem
        wired = {wire.parameter_id for wire in tile.place.mappings}
        set_ones = [
            f"{item.parameter.name}: {told(item)}"
            for item in self.filters
            if item.parameter.id in wired and item.values
        ]
        unset = [item.parameter.name for item in self.filters if item.parameter.id in wired and not item.values]
        texts = {tag.name for tag in tile.card.tags.values() if tag.type == "text"} if tile.card else set()
        if texts and unset:
            return f"Nothing is chosen yet. Set {', '.join(unset)}, or come here by a click on one."
        if not set_ones:
            return "The marts hold nothing for this yet."
        return f"Nothing fits {' · '.join(set_ones)}."

    def link(self, tile: Tile, column: str | None, row: Mapping[str, Any], base: "Addresses") -> str | None:
        """Where a click on the column leads, with the values that it takes along."""
        for click in clicks(tile.settings):
            if click.column == column:
                return self._target(click, row, base)
        return None

    def _target(self, click: Click, row: Mapping[str, Any], base: "Addresses") -> str | None:
        if click.kind == "link" and click.raw.get("linkType") == "url":
            return str(click.raw["linkTemplate"])
        target = self.dashboard if click.kind == "crossfilter" else self.content.dashboards[click.target or ""]
        slugs = {item.id: item.slug for item in target.parameters}
        pairs: list[tuple[str, str]] = []
        for parameter_id, (kind, source) in click.sources.items():
            found: list[Any] = list(self.values.get(source, ())) if kind == "parameter" else [row.get(source)]
            kept = [str(value) for value in found if value is not None]
            pairs += [(slugs[parameter_id], value) for value in kept or [""]]
        return base.page(target.slug, pairs)


@dataclass(frozen=True, slots=True)
class Addresses:
    """How pages name each other: behind a server, or as files beside each other."""

    prefix: str = ""
    suffix: str = ""

    def page(self, slug: str, pairs: Sequence[tuple[str, str]] = ()) -> str:
        """The address of a dashboard with values for its filters."""
        query = f"?{urlencode(pairs)}" if pairs and not self.suffix else ""
        return f"{self.prefix}{slug}{self.suffix}{query}"


def _values(parameter: Parameter, asked: Asked) -> tuple[str, ...]:
    found = asked.get(parameter.slug)
    if found is None:
        return tuple(map(str, parameter.defaults))
    return tuple(value for value in found if value.strip())


def _merged(card: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard's settings over the card's, columns merged one by one."""
    columns: dict[str, Any] = {key: dict(value) for key, value in (card.get("column_settings") or {}).items()}
    for key, value in (place.get("column_settings") or {}).items():
        columns[key] = {**columns.get(key, {}), **value}
    return {**card, **place, "column_settings": columns}
