"""What only the marts can say: each query runs with every filter empty, set and multi-valued, and has its columns.

    Content, marts -> problems, and how long each card took at its slowest

Dates and numbers get several forms, text filters one and two values that the field really holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import psycopg

from pipelines.core.errors import DashboardError
from pipelines.dashboards.columns import clicks, used_columns
from pipelines.dashboards.entities import Card, Content, Dashboard, Dashcard, Tag
from pipelines.dashboards.templates import Values
from pipelines.dashboards.warehouse import Result, choices, run_card


@dataclass(slots=True)
class RunReport:
    """What came out. `slowest` holds milliseconds by card."""

    problems: list[str] = field(default_factory=list)
    statements: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)


class RunCheck:
    """One check over one snapshot."""

    def __init__(self, connection: psycopg.Connection[Any], content: Content, today: date) -> None:
        self._connection, self._content, self._today = connection, content, today
        self._choices: dict[object, list[str]] = {}
        self.report = RunReport()

    def cards(self) -> None:
        """Every card in every variant, then what dashboards add to it."""
        results: dict[str, Result] = {}
        for card in self._content.cards.values():
            found = self._card(card)
            if found is not None:
                results[card.entity_id] = found
        for dashboard in self._content.dashboards.values():
            for place in dashboard.dashcards:
                if place.card_id in results:
                    self._place(dashboard, place, results[place.card_id])
                    self._defaults(dashboard, place)

    def _card(self, card: Card) -> Result | None:
        first: Result | None = None
        for told, values in self.variants(card):
            try:
                result = run_card(self._connection, card, values, self._today)
            except DashboardError as error:
                self.report.problems.append(f"{card.path.name}, {told}: {error.message}")
                continue
            self.report.statements += 1
            spent = self.report.slowest.get(card.path.stem, 0.0)
            self.report.slowest[card.path.stem] = max(spent, result.milliseconds)
            if first is None:
                first = result
                self._columns(card.path.name, card.display, card.settings, result)
                if not result.rows:
                    self.report.empty.append(card.path.stem)
            elif result.columns != first.columns:
                self.report.problems.append(f"{card.path.name}, {told}: other columns than without filters")
        return first

    def variants(self, card: Card) -> Iterator[tuple[str, Values]]:
        """Values for the tags: none, each alone in each form, all together. What must have a value always has one."""
        needed = {tag.name: self._forms(card, tag)[0][1] for tag in card.tags.values() if _is_needed(card, tag)}
        yield "no filter", needed
        together = dict(needed)
        for tag in card.tags.values():
            for told, values in self._forms(card, tag):
                yield f"{tag.name} {told}", {**needed, tag.name: values}
            together[tag.name] = self._forms(card, tag)[-1][1]
        if card.tags:
            yield "every filter", together

    def _forms(self, card: Card, tag: Tag) -> list[tuple[str, list[str]]]:
        kind = tag.widget_type or tag.type
        if kind.startswith("date"):
            first = self._today - timedelta(days=20)
            if tag.type == "date":
                return [("set", [self._today.isoformat()])]
            return [
                ("set", [first.isoformat()]),
                ("relative", ["past30days~"]),
                ("a range", [f"{first}~{self._today}"]),
            ]
        if kind == "number/between":
            return [("set", ["1", "500"])]
        if kind.startswith("number"):
            return [("set", ["100"])] + ([("multi-valued", ["100", "200.5"])] if kind == "number/=" else [])
        if kind.startswith("boolean"):
            return [("set", ["true"])]
        found = self._values(tag) or ["none of them"]
        if tag.type != "dimension":
            return [("set", ["it's 100 %"])]
        return [("set", found[:1]), ("multi-valued", [*found[:2], "it's 100 %"])]

    def _values(self, tag: Tag) -> list[str]:
        if tag.field is None:
            return []
        if tag.field not in self._choices:
            try:
                with self._connection.transaction():
                    self._choices[tag.field] = choices(self._connection, tag.field)
            except psycopg.Error as error:
                self.report.problems.append(
                    f"the field {tag.field.table}.{tag.field.column}: {error.diag.message_primary}"
                )
                self._choices[tag.field] = []
        return self._choices[tag.field]

    def _columns(self, where: str, display: str, settings: Any, result: Result) -> None:
        for column, key in used_columns(display, settings).items():
            if column not in result.columns:
                self.report.problems.append(f"{where}: {key} names {column}, which the query does not return")
        if display != "table":
            return
        shown = {item["name"] for item in settings.get("table.columns") or ()}
        for column in result.columns:
            if shown and column not in shown:
                self.report.problems.append(f"{where}: table.columns leaves {column} out; list it, enabled or not")

    def _place(self, dashboard: Dashboard, place: Dashcard, result: Result) -> None:
        card = self._content.cards[place.card_id or ""]
        where = f"{dashboard.path.name}, {card.name}"
        self._columns(where, "", place.settings, result)
        for click in clicks(place.settings):
            if click.column is not None and click.column not in result.columns:
                self.report.problems.append(f"{where}: a click on {click.column}, which the query does not return")

    def _defaults(self, dashboard: Dashboard, place: Dashcard) -> None:
        """The dashboard as it opens."""
        card = self._content.cards[place.card_id or ""]
        defaults = {item.id: item.defaults for item in dashboard.parameters}
        values = {wire.tag: defaults.get(wire.parameter_id, ()) for wire in place.mappings}
        for tag in card.tags.values():
            if _is_needed(card, tag) and not values.get(tag.name):
                return  # it waits for a click that brings the value
        try:
            run_card(self._connection, card, values, self._today)
            self.report.statements += 1
        except DashboardError as error:
            self.report.problems.append(f"{dashboard.path.name}: {error.message}")


def _is_needed(card: Card, tag: Tag) -> bool:
    """Whether the query cannot do without: a value that stands outside of [[ ]]."""
    if tag.type == "dimension":
        return False
    outside = "".join(part for part in _outside(card.sql))
    return "{{" + tag.name + "}}" in outside.replace(" ", "")


def _outside(query: str) -> Iterator[str]:
    for piece in query.split("[["):
        yield piece.rpartition("]]")[2] if "]]" in piece else piece
