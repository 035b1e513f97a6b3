"""The files' entities as Metabase's REST API takes them, and what it answers brought into the same form.

The format lists template tags, REST maps them by name; the format names fields, cards and dashboards, REST numbers
them.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipelines.dashboards.entities import Card, Dashboard, Dashcard, Parameter, Tag
from pipelines.dashboards.provision.work import Work, marked


def card_body(work: Work, card: Card) -> dict[str, Any]:
    """What is sent for a card."""
    database = work.databases[card.database]
    stage = {
        "lib/type": "mbql.stage/native",
        "native": card.sql,
        "template-tags": {tag.name: _tag(work, tag) for tag in card.tags.values()},
    }
    return {
        "name": card.name,
        "description": marked(card.description, card.entity_id),
        "display": card.display,
        "type": "question",
        "collection_id": work.collections[card.collection_id or ""],
        "dataset_query": {"lib/type": "mbql/query", "database": database, "stages": [stage]},
        "parameters": [_card_parameter(tag) for tag in card.tags.values()],
        "visualization_settings": dict(card.settings),
    }


def _tag(work: Work, tag: Tag) -> dict[str, Any]:
    found: dict[str, Any] = {"id": tag.id, "name": tag.name, "display-name": tag.display_name, "type": tag.type}
    if tag.field is not None:
        found["dimension"] = ["field", {}, work.field_id(tag.field)]
        found["widget-type"] = tag.widget_type
    if tag.default is not None:
        found["default"] = tag.default
    if tag.required:
        found["required"] = True
    if tag.alias:
        found["alias"] = tag.alias
    if tag.options:
        found["options"] = dict(tag.options)
    return found


def _card_parameter(tag: Tag) -> dict[str, Any]:
    """The filter that the card shows when it is opened alone, as Metabase's own editor makes it."""
    kind = tag.widget_type if tag.type == "dimension" else {"text": "category"}.get(tag.type, f"{tag.type}/=")
    target = ["dimension" if tag.type == "dimension" else "variable", ["template-tag", tag.name]]
    found: dict[str, Any] = {
        "id": tag.id,
        "type": kind,
        "target": target,
        "name": tag.display_name,
        "slug": tag.name,
    }
    if tag.default is not None:
        found["default"] = tag.default
    return found


def card_found(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys of a card that is there. Ids and marks that the server adds to a query are left out."""
    found = {key: answer.get(key) for key in ("name", "description", "display", "type", "collection_id")}
    return {
        **found,
        "dataset_query": plain_query(answer.get("dataset_query") or {}),
        "parameters": answer.get("parameters") or [],
        "visualization_settings": answer.get("visualization_settings") or {},
    }


def plain_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """A native query in the form that is sent, whichever form the server keeps."""
    if query.get("type") == "native":
        native = query.get("native") or {}
        text, tags = native.get("query"), native.get("template-tags")
    else:
        stages = query.get("stages") or [{}]
        text, tags = stages[0].get("native"), stages[0].get("template-tags")
    listed = tags if isinstance(tags, list) else list((tags or {}).values())
    stage = {
        "lib/type": "mbql.stage/native",
        "native": text,
        "template-tags": {tag["name"]: _plain_tag(tag) for tag in listed},
    }
    return {"lib/type": "mbql/query", "database": query.get("database"), "stages": [stage]}


def _plain_tag(tag: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("id", "name", "display-name", "type", "widget-type", "default", "required", "alias", "options")
    found = {key: tag[key] for key in kept if tag.get(key) not in (None, False, {})}
    dimension = tag.get("dimension")
    if dimension:
        number = next(part for part in dimension[1:] if isinstance(part, int))
        found["dimension"] = ["field", {}, number]
    return found


def dashboard_body(work: Work, board: Dashboard, ids: "Places") -> dict[str, Any]:
    """What one PUT of a dashboard holds: Metabase takes tabs and dashcards as a whole, or deletes what is left out."""
    return {
        "name": board.name,
        "description": marked(board.description, board.entity_id),
        "collection_id": work.collections[board.collection_id or ""],
        "collection_position": board.position or None,
        "width": board.width,
        "auto_apply_filters": board.auto_apply_filters,
        "archived": False,
        "parameters": [_parameter(item) for item in board.parameters],
        "tabs": [{"id": ids.tabs[tab.entity_id], "name": tab.name} for tab in board.tabs],
        "dashcards": [_dashcard(work, place, ids) for place in board.dashcards],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {key: value for key, value in parameter.raw.items() if value is not None}


class Places:
    """Ids of a dashboard's tabs and dashcards: those that are there are used again, new ones are negative.

    Subscriptions hang on dashcard ids, so a card that stays on the dashboard keeps its own. A dashcard carries no
    mark; it is known by its card (or by its text) and by how many of the same come before it on its tab.
    """

    def __init__(self, work: Work, board: Dashboard, answer: Mapping[str, Any]) -> None:
        there = {tab["name"]: int(tab["id"]) for tab in answer.get("tabs") or ()}
        self.tabs = {tab.entity_id: there.get(tab.name, -place) for place, tab in enumerate(board.tabs, start=1)}
        names = {tab.entity_id: tab.name for tab in board.tabs}
        by_id = {int(tab["id"]): tab["name"] for tab in answer.get("tabs") or ()}
        free: dict[tuple[Any, ...], list[int]] = {}
        for item in answer.get("dashcards") or ():
            key = (by_id.get(item.get("dashboard_tab_id") or 0), item.get("card_id"), _text(item))
            free.setdefault(key, []).append(int(item["id"]))
        self.dashcards: dict[str, int] = {}
        for place, item in enumerate(board.dashcards, start=1):
            card = work.cards[item.card_id] if item.card_id else None
            key = (names.get(item.tab_id or ""), card, None if card else item.settings.get("text"))
            kept = free.get(key)
            self.dashcards[item.entity_id] = kept.pop(0) if kept else -place


def _text(item: Mapping[str, Any]) -> Any:
    return None if item.get("card_id") else (item.get("visualization_settings") or {}).get("text")


def _dashcard(work: Work, place: Dashcard, ids: Places) -> dict[str, Any]:
    card = work.cards[place.card_id] if place.card_id else None
    return {
        "id": ids.dashcards[place.entity_id],
        "card_id": card,
        "dashboard_tab_id": ids.tabs[place.tab_id] if place.tab_id else None,
        "row": place.row,
        "col": place.col,
        "size_x": place.size_x,
        "size_y": place.size_y,
        "series": [],
        "parameter_mappings": [
            {
                "parameter_id": wire.parameter_id,
                "card_id": work.cards[wire.card_id] if wire.card_id else None,
                "target": [wire.kind, wire.tag] if wire.kind == "text-tag" else [wire.kind, ["template-tag", wire.tag]],
            }
            for wire in place.mappings
        ],
        "visualization_settings": _linked(work, dict(place.settings)),
    }


def _linked(work: Work, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the numbers of what their clicks lead to."""
    copy: dict[str, Any] = json.loads(json.dumps(settings))
    columns = (copy.get("column_settings") or {}).values()
    for click in [copy.get("click_behavior"), *(column.get("click_behavior") for column in columns)]:
        if click and click.get("linkType") == "dashboard":
            click["targetId"] = work.dashboards[click["targetId"]]
            if click.get("tabId"):
                click["tabId"] = work.tabs[click["tabId"]]
    return copy


def dashboard_found(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys of a dashboard that is there."""
    plain = ("name", "description", "collection_id", "collection_position", "width", "auto_apply_filters", "archived")
    keys = ("id", "card_id", "dashboard_tab_id", "row", "col", "size_x", "size_y")
    return {
        **{key: answer.get(key) for key in plain},
        "parameters": answer.get("parameters") or [],
        "tabs": [{"id": tab["id"], "name": tab["name"]} for tab in answer.get("tabs") or ()],
        "dashcards": [
            {
                **{key: item.get(key) for key in keys},
                "series": [{"id": one["id"]} for one in item.get("series") or ()],
                "parameter_mappings": item.get("parameter_mappings") or [],
                "visualization_settings": item.get("visualization_settings") or {},
            }
            for item in answer.get("dashcards") or ()
        ],
    }
