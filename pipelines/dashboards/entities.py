"""What the files describe: collections, cards with their tags, dashboards with their grid; Content holds all of it.

Frozen, by entity id, references as ids. Made by files.py only.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.errors import DashboardError

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column by name: Metabase's `[database, schema, table, column]`."""

    database: str
    schema: str
    table: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A `{{name}}` of a query. `field` is there for field filters (type dimension) only."""

    name: str
    id: str
    type: str
    display_name: str
    widget_type: str | None = None
    field: Field | None = None
    default: Any = None
    required: bool = False
    alias: str | None = None
    options: Settings = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A folder of Metabase."""

    path: Path
    entity_id: str
    name: str
    description: str
    parent_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A question: one native query with its tags and how it is shown."""

    path: Path
    entity_id: str
    name: str
    description: str
    display: str
    collection_id: str | None
    database: str
    sql: str
    tags: Mapping[str, Tag]
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A filter of a dashboard."""

    id: str
    name: str
    slug: str
    type: str
    default: Any
    raw: Settings

    @property
    def defaults(self) -> tuple[Any, ...]:
        """The default as a list of values; empty when there is none."""
        if self.default is None:
            return ()
        return tuple(self.default) if isinstance(self.default, list) else (self.default,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A filter of the dashboard wired to a tag of a card. `kind` is dimension, variable or text-tag."""

    parameter_id: str
    card_id: str | None
    kind: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashcard:
    """A card, a heading or a text on the grid of 24 columns."""

    entity_id: str
    card_id: str | None
    tab_id: str | None
    row: int
    col: int
    size_x: int
    size_y: int
    mappings: tuple[Wire, ...]
    settings: Settings

    @property
    def virtual(self) -> str | None:
        """heading, text or link for what is no card; None for a card."""
        found = self.settings.get("virtual_card")
        return str(found.get("display")) if isinstance(found, Mapping) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A tab of a dashboard."""

    entity_id: str
    name: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard with all that lies on it. `slug` is the name of its file and of its preview page."""

    path: Path
    entity_id: str
    name: str
    description: str
    collection_id: str | None
    position: int
    width: str
    auto_apply_filters: bool
    parameters: tuple[Parameter, ...]
    tabs: tuple[Tab, ...]
    dashcards: tuple[Dashcard, ...]

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return self.path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Everything in the folder, by entity id."""

    folder: Path
    collections: Mapping[str, Collection]
    cards: Mapping[str, Card]
    dashboards: Mapping[str, Dashboard]

    def ordered(self) -> list[Dashboard]:
        """Dashboards in the order of their collections' names in the tree, then by position."""
        return sorted(
            self.dashboards.values(), key=lambda item: (self.trail(item.collection_id), item.position, item.name)
        )

    def trail(self, collection_id: str | None) -> tuple[str, ...]:
        """Names of the collections from the root down to this one."""
        names: list[str] = []
        while collection_id is not None and collection_id in self.collections and len(names) < 20:
            names.insert(0, self.collections[collection_id].name)
            collection_id = self.collections[collection_id].parent_id
        return tuple(names)

    def dashboard(self, slug: str) -> Dashboard:
        """The dashboard with this slug. Raises DashboardError naming those that there are."""
        for item in self.dashboards.values():
            if item.slug == slug:
                return item
        known = ", ".join(sorted(item.slug for item in self.dashboards.values()))
        raise DashboardError(f"There is no dashboard {slug}.", fix=f"one of {known}")

    def cards_of(self, dashboard: Dashboard) -> list[Card]:
        """Its cards, each once, in the order of the grid."""
        found = sorted(dashboard.dashcards, key=lambda item: (item.row, item.col))
        ids = dict.fromkeys(item.card_id for item in found if item.card_id is not None)
        return [self.cards[card_id] for card_id in ids if card_id in self.cards]
