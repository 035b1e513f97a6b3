"""What the official validator lets through: references, the grid, tags, keys of settings, mappings, links, connections.

    Content, Deploy -> list of problems, each with the file that it is in

No database: what only the database knows (columns, values, times) is run_check.py's.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.dashboards.columns import clicks, column_settings
from pipelines.dashboards.deploy import Deploy
from pipelines.dashboards.entities import Card, Content, Dashboard, Dashcard, Parameter
from pipelines.dashboards.settings_keys import (
    CHOICES,
    CLICK_KEYS,
    COLUMN_KEYS,
    COMPARISON_KEYS,
    COMPARISONS,
    DISPLAYS,
    FORMATTING_KEYS,
    KEYS,
    OPERATORS,
    SERIES_KEYS,
)
from pipelines.dashboards.templates import WIDGETS, tags_in

GRID = 24
ENTITY_ID = re.compile(r"[A-Za-z0-9_-]{21}")
SLUG = re.compile(r"[a-z0-9_]+")
KIND_OF_TAG = {"dimension": "dimension", "text": "variable", "number": "variable", "date": "variable"}
Where = tuple[str, str]


def check_content(content: Content, deploy: Deploy) -> list[str]:
    """Every problem as one line; empty when all is well."""
    problems: list[str] = []

    def told(item: Any, found: Iterable[str]) -> None:
        name = item.path.relative_to(content.folder)
        problems.extend(f"{name}: {text}" for text in found)

    for collection in content.collections.values():
        told(collection, _collection(content, collection))
    for card in content.cards.values():
        told(card, _card(content, deploy, card))
    for dashboard in content.dashboards.values():
        told(dashboard, _dashboard(content, dashboard))
    problems += _names(content)
    problems += deploy.problems(content)
    return problems


def _names(content: Content) -> Iterator[str]:
    """Names are what people find things by, and what an entity without its marker is recognized by."""
    seen: Counter[tuple[str, str | None, str]] = Counter()
    named: list[Card | Dashboard] = [*content.cards.values(), *content.dashboards.values()]
    for item in named:
        seen[type(item).__name__, item.collection_id, item.name] += 1
    for (kind, _, name), count in seen.items():
        if count > 1:
            yield f"{count} of {kind} in one collection are called {name}"
    slugs = Counter(item.slug for item in content.dashboards.values())
    yield from (f"two dashboard files are called {slug}" for slug, count in slugs.items() if count > 1)
    used = {place.card_id for board in content.dashboards.values() for place in board.dashcards}
    for card in content.cards.values():
        if card.entity_id not in used:
            yield f"{card.path.relative_to(content.folder)}: lies on no dashboard"


def _collection(content: Content, collection: Any) -> Iterator[str]:
    yield from _identity(collection)
    if collection.parent_id is not None and collection.parent_id not in content.collections:
        yield f"parent_id {collection.parent_id} is no collection"


def _identity(item: Any) -> Iterator[str]:
    if not ENTITY_ID.fullmatch(item.entity_id):
        yield f"entity_id {item.entity_id!r} is no NanoID of 21 characters"
    if not item.description.strip():
        yield "has no description"


def _card(content: Content, deploy: Deploy, card: Card) -> Iterator[str]:
    yield from _identity(card)
    if card.collection_id not in content.collections:
        yield f"collection_id {card.collection_id} is no collection"
    elif card.database != (wanted := deploy.database_of(content, card.collection_id)):
        yield f"asks {card.database}, but its collection's connection is {wanted}"
    if card.display not in DISPLAYS:
        yield f"display {card.display} is not among {', '.join(sorted(DISPLAYS))}"
    used, defined = tags_in(card.sql), set(card.tags)
    yield from (f"the tag {name} is used but not defined" for name in sorted(used - defined))
    yield from (f"the tag {name} is defined but not used" for name in sorted(defined - used))
    for tag in card.tags.values():
        if tag.type not in (*KIND_OF_TAG, "boolean"):
            yield f"the tag {tag.name} is of type {tag.type}, which is not used here"
        if tag.type == "dimension":
            yield from _field_filter(card, tag)
        if tag.default is not None and not tag.required:
            yield f"the tag {tag.name} has a default that an emptied filter would bring back; give it to the dashboard"
    yield from _settings(card.display, card.settings)


def _field_filter(card: Card, tag: Any) -> Iterator[str]:
    if tag.widget_type not in WIDGETS:
        yield f"the tag {tag.name} has the widget type {tag.widget_type}, which is not known here"
    field = tag.field
    if field.database != card.database:
        yield f"the tag {tag.name} filters a field of another connection"
    if field.schema != "marts":
        yield f"the tag {tag.name} filters {field.schema}.{field.table}, which is no mart"
    # Metabase writes the condition over the whole name of the column.
    relation = rf"(?:from|join)\s+{field.schema}\.{field.table}\b(?:\s+as\b)?"
    if not re.search(relation, card.sql, re.IGNORECASE):
        yield f"the tag {tag.name} filters {field.schema}.{field.table}, which the query does not read"
    elif not tag.alias and re.search(relation.replace(r"(?:\s+as\b)?", r"\s+as\b"), card.sql, re.IGNORECASE):
        yield f"{field.schema}.{field.table} has an alias, so the tag {tag.name} needs one as well"


def _settings(display: str, settings: Any, *, on_dashboard: bool = False) -> Iterator[str]:
    known = KEYS.get(display)
    if known is None:
        return
    yield from (f"{display} has no setting {key}" for key in sorted(set(settings) - known))
    yield from _choices(settings)
    try:
        columns = column_settings(settings)
    except ValueError as error:
        yield f"column_settings: {error}"
        return
    for name, value in columns.items():
        yield from (f"column {name} has no setting {key}" for key in sorted(set(value) - COLUMN_KEYS))
        yield from _choices(value)
    for name, value in (settings.get("series_settings") or {}).items():
        yield from (f"series {name} has no setting {key}" for key in sorted(set(value) - SERIES_KEYS))
        yield from _choices(value)
    for rule in settings.get("table.column_formatting") or ():
        yield from _formatting(rule)
    for item in settings.get("scalar.comparisons") or ():
        yield from (f"a comparison has no key {key}" for key in sorted(set(item) - COMPARISON_KEYS))
        if item.get("type") not in COMPARISONS:
            yield f"a comparison of type {item.get('type')} does not exist"
    if not on_dashboard:
        if any(True for _ in clicks(settings)):
            yield "a click belongs to the dashboard's card, where Metabase looks for it"
        yield from _needed(display, settings)


def _needed(display: str, settings: Any) -> Iterator[str]:
    needed = {
        "pie": ("pie.dimension", "pie.metric"),
        "funnel": ("funnel.dimension", "funnel.metric"),
        "scalar": ("scalar.field",),
        "smartscalar": ("scalar.field", "scalar.comparisons"),
        "table": ("table.columns",),
    }.get(display, ("graph.dimensions", "graph.metrics"))
    yield from (f"a {display} needs {key}" for key in needed if not settings.get(key))


def _choices(settings: Any) -> Iterator[str]:
    for key, value in settings.items():
        allowed = CHOICES.get(key)
        if allowed is not None and (not isinstance(value, str | bool | None) or value not in allowed):
            yield f"{key} is {value!r}, not one of {', '.join(sorted(map(str, allowed)))}"


def _formatting(rule: Any) -> Iterator[str]:
    yield from (f"a formatting rule has no key {key}" for key in sorted(set(rule) - FORMATTING_KEYS))
    if rule.get("type") == "single":
        if rule.get("operator") not in OPERATORS:
            yield f"a formatting rule has the operator {rule.get('operator')}"
        if "color" not in rule:
            yield "a formatting rule has no colour"
    elif rule.get("type") == "range":
        for side in ("min_type", "max_type"):
            if rule.get(side) not in (None, "all", "custom"):
                yield f"a formatting rule has {side} {rule[side]}, not custom or all"
    else:
        yield f"a formatting rule is of type {rule.get('type')}"


def _dashboard(content: Content, dashboard: Dashboard) -> Iterator[str]:
    yield from _identity(dashboard)
    if dashboard.collection_id not in content.collections:
        yield f"collection_id {dashboard.collection_id} is no collection"
    parameters = {item.id: item for item in dashboard.parameters}
    for one, count in Counter(item.slug for item in dashboard.parameters).items():
        if count > 1 or not SLUG.fullmatch(one):
            yield f"the slug {one} is used twice, or is not of a-z, 0-9 and _"
    if len(parameters) != len(dashboard.parameters):
        yield "two filters have one id"
    ids = Counter(place.entity_id for place in dashboard.dashcards)
    yield from (f"{one} stands on it {count} times" for one, count in ids.items() if count > 1)
    wired: dict[str, set[str | None]] = {one: set() for one in parameters}
    for place in dashboard.dashcards:
        yield from _place(content, dashboard, place, parameters)
        for wire in place.mappings:
            wired.setdefault(wire.parameter_id, set()).add(place.tab_id)
    yield from (f"the filter {parameters[one].name} is wired to no card" for one in parameters if not wired[one])
    yield from _overlaps(dashboard)


def _overlaps(dashboard: Dashboard) -> Iterator[str]:
    taken: dict[tuple[str | None, int, int], str] = {}
    for place in dashboard.dashcards:
        if place.col + place.size_x > GRID:
            yield f"{place.entity_id} reaches over the {GRID} columns"
        met = set()
        for row in range(place.row, place.row + place.size_y):
            for col in range(place.col, place.col + place.size_x):
                other = taken.setdefault((place.tab_id, row, col), place.entity_id)
                if other != place.entity_id:
                    met.add(other)
        yield from (f"{place.entity_id} lies over {other}" for other in sorted(met))


def _place(content: Content, dashboard: Dashboard, place: Dashcard, parameters: dict[str, Parameter]) -> Iterator[str]:
    name = f"card {place.entity_id}"
    tabs = {tab.entity_id for tab in dashboard.tabs}
    if (place.tab_id is None) == bool(tabs) or (tabs and place.tab_id not in tabs):
        yield f"{name}: is on no tab of this dashboard"
    if place.card_id is None:
        if place.virtual not in ("heading", "text", "link"):
            yield f"{name}: has neither card_id nor a heading, text or link"
        else:
            yield from (f"{name}: {text}" for text in _settings(place.virtual, place.settings, on_dashboard=True))
        return
    card = content.cards.get(place.card_id)
    if card is None:
        yield f"{name}: card_id {place.card_id} is no card"
        return
    name = f"card {card.name}"
    mapped = set()
    for wire in place.mappings:
        tag = card.tags.get(wire.tag)
        parameter = parameters.get(wire.parameter_id)
        if wire.card_id != card.entity_id:
            yield f"{name}: a mapping names another card"
        if parameter is None:
            yield f"{name}: a mapping names no filter of the dashboard: {wire.parameter_id}"
        if tag is None:
            yield f"{name}: a mapping names no tag of the query: {wire.tag}"
            continue
        mapped.add(wire.tag)
        if KIND_OF_TAG.get(tag.type, "variable") != wire.kind:
            yield f"{name}: the tag {tag.name} is of type {tag.type}, its mapping a {wire.kind}"
        if parameter is not None and tag.type == "dimension" and not _fits(parameter.type, tag.widget_type or ""):
            yield f"{name}: the filter {parameter.name} ({parameter.type}) does not fit {tag.name} ({tag.widget_type})"
    for unmapped in sorted(set(card.tags) - mapped):
        yield f"{name}: no filter is mapped to its tag {unmapped}"
    yield from (f"{name}: {text}" for text in _settings(card.display, place.settings, on_dashboard=True))
    yield from (f"{name}: {text}" for text in _links(content, dashboard, place))


def _fits(parameter: str, widget: str) -> bool:
    return parameter == widget or parameter.split("/")[0] == widget.split("/")[0]


def _links(content: Content, dashboard: Dashboard, place: Dashcard) -> Iterator[str]:
    for click in clicks(place.settings):
        yield from (f"a click has no key {key}" for key in sorted(set(click.raw) - CLICK_KEYS))
        if click.kind == "crossfilter":
            target: Dashboard | None = dashboard
        elif click.kind == "link" and click.raw.get("linkType") == "dashboard":
            target = content.dashboards.get(click.target or "")
        elif click.kind == "link" and click.raw.get("linkType") == "url":
            if not str(click.raw.get("linkTemplate", "")).startswith(("http://", "https://", "/")):
                yield "a click leads to no address"
            continue
        else:
            yield f"a click of type {click.kind} {click.raw.get('linkType', '')} is not used here"
            continue
        if target is None:
            yield f"a click leads to {click.target}, which is no dashboard"
            continue
        known = {item.id for item in target.parameters}
        tabs = {tab.entity_id for tab in target.tabs}
        if click.raw.get("tabId") is not None and click.raw["tabId"] not in tabs:
            yield f"a click leads to a tab that {target.name} has not"
        own = {item.id for item in dashboard.parameters}
        for wanted, (kind, source) in click.sources.items():
            if wanted not in known:
                yield f"a click sets a filter that {target.name} has not: {wanted}"
            if kind == "parameter" and source not in own:
                yield f"a click passes on a filter that this dashboard has not: {source}"
        if not click.sources:
            yield f"a click to {target.name} passes nothing on"
