"""The representation files as entities: one YAML per collection, card or dashboard, references by entity id.

Reading is strict where a slip would be silent later: an unknown key, a second entity with the same id, a broken YAML.
What the values mean together is judged by check.py. Raises DashboardError with every problem that was found.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.core.errors import DashboardError
from pipelines.core.settings import PROJECT_ROOT
from pipelines.dashboards.entities import (
    Card,
    Collection,
    Content,
    Dashboard,
    Dashcard,
    Field,
    Parameter,
    Tab,
    Tag,
    Wire,
)
from pipelines.dashboards.format_keys import (
    CARD_KEYS,
    COLLECTION_KEYS,
    DASHBOARD_KEYS,
    DASHCARD_KEYS,
    MAPPING_KEYS,
    PARAMETER_KEYS,
    TAG_KEYS,
)

FOLDER = PROJECT_ROOT / "dashboards"


def read_yaml(path: Path) -> Any:
    """The document in a file. Raises yaml.YAMLError and OSError."""
    # libyaml's own parser, where the wheel brings it, takes a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders


def load_content(folder: Path = FOLDER) -> Content:
    """All entities of `folder`/collections. Raises DashboardError with every problem, one per line."""
    reader = _Reader(folder)
    for path in sorted((folder / "collections").rglob("*.yaml")):
        reader.read(path)
    if reader.problems:
        raise DashboardError("\n".join(reader.problems), fix="correct the files, then `psp dashboards check`")
    if not reader.dashboards:
        raise DashboardError(f"There are no dashboards in {folder}.", fix="name the folder that holds collections/")
    return Content(folder=folder, collections=reader.collections, cards=reader.cards, dashboards=reader.dashboards)


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []
        self.collections: dict[str, Collection] = {}
        self.cards: dict[str, Card] = {}
        self.dashboards: dict[str, Dashboard] = {}

    def read(self, path: Path) -> None:
        where = str(path.relative_to(self._folder))
        try:
            raw = read_yaml(path)
            model = raw["serdes/meta"][-1]["model"]
            kinds: dict[str, tuple[dict[str, Any], Any]] = {
                "Collection": (self.collections, _collection),
                "Card": (self.cards, _card),
                "Dashboard": (self.dashboards, _dashboard),
            }
            kept, make = kinds[model]
            entity = make(path, raw)
        except yaml.YAMLError as error:
            self.problems.append(f"{where}: no YAML: {' '.join(str(error).split())}")
        except _Unknown as error:
            self.problems.append(f"{where}: {error}")
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            self.problems.append(f"{where}: not a representation file ({type(error).__name__}: {error})")
        else:
            if raw["serdes/meta"][-1].get("id") != entity.entity_id:
                self.problems.append(f"{where}: serdes/meta names another id than entity_id")
            twin = kept.setdefault(entity.entity_id, entity)
            if twin is not entity:
                self.problems.append(f"{where}: has the entity_id of {twin.path.name}")


class _Unknown(Exception):
    """A key that the format does not know."""


def _known(raw: Mapping[str, Any], keys: frozenset[str], what: str) -> None:
    unknown = sorted(set(raw) - keys)
    if unknown:
        raise _Unknown(f"unknown key of a {what}: {', '.join(unknown)}")


def _collection(path: Path, raw: Mapping[str, Any]) -> Collection:
    _known(raw, COLLECTION_KEYS, "collection")
    return Collection(
        path=path,
        entity_id=raw["entity_id"],
        name=raw["name"],
        description=raw.get("description") or "",
        parent_id=raw.get("parent_id"),
    )


def _card(path: Path, raw: Mapping[str, Any]) -> Card:
    _known(raw, CARD_KEYS, "card")
    query = raw["dataset_query"]
    (stage,) = query["stages"]
    if stage["lib/type"] != "mbql.stage/native":
        raise _Unknown("only native queries are run here; write the card's question as SQL")
    tags = [_tag(item) for item in stage.get("template-tags") or []]
    if len({tag.name for tag in tags}) != len(tags):
        raise _Unknown("a template tag is defined twice")
    return Card(
        path=path,
        entity_id=raw["entity_id"],
        name=raw["name"],
        description=raw.get("description") or "",
        display=raw["display"],
        collection_id=raw.get("collection_id"),
        database=query["database"],
        sql=stage["native"],
        tags={tag.name: tag for tag in tags},
        settings=raw["visualization_settings"],
    )


def _tag(raw: Mapping[str, Any]) -> Tag:
    _known(raw, TAG_KEYS, "template tag")
    found: Field | None = None
    if raw["type"] == "dimension":
        kind, _, (database, schema, table, column) = raw["dimension"]
        if kind != "field":
            raise _Unknown(f"the field filter {raw['name']} names no field")
        found = Field(database=database, schema=schema, table=table, column=column)
    return Tag(
        name=raw["name"],
        id=raw["id"],
        type=raw["type"],
        display_name=raw.get("display-name") or raw["name"],
        widget_type=raw.get("widget-type"),
        field=found,
        default=raw.get("default"),
        required=bool(raw.get("required", False)),
        alias=raw.get("alias"),
        options=raw.get("options") or {},
    )


def _dashboard(path: Path, raw: Mapping[str, Any]) -> Dashboard:
    _known(raw, DASHBOARD_KEYS, "dashboard")
    return Dashboard(
        path=path,
        entity_id=raw["entity_id"],
        name=raw["name"],
        description=raw.get("description") or "",
        collection_id=raw.get("collection_id"),
        position=raw.get("collection_position") or 0,
        width=raw.get("width", "fixed"),
        auto_apply_filters=bool(raw.get("auto_apply_filters", True)),
        parameters=tuple(_parameters(raw.get("parameters") or [])),
        tabs=tuple(
            sorted(
                (
                    Tab(entity_id=item["entity_id"], name=item["name"], position=item["position"])
                    for item in raw.get("tabs") or []
                ),
                key=lambda tab: tab.position,
            )
        ),
        dashcards=tuple(_dashcard(item) for item in raw.get("dashcards") or []),
    )


def _parameters(items: list[Mapping[str, Any]]) -> Iterator[Parameter]:
    for item in items:
        _known(item, PARAMETER_KEYS, "parameter")
        yield Parameter(
            id=item["id"],
            name=item["name"],
            slug=item["slug"],
            type=item["type"],
            default=item.get("default"),
            raw=item,
        )


def _dashcard(raw: Mapping[str, Any]) -> Dashcard:
    _known(raw, DASHCARD_KEYS, "dashcard")
    tab = raw.get("dashboard_tab_id")
    return Dashcard(
        entity_id=raw["entity_id"],
        card_id=raw.get("card_id"),
        tab_id=tab[1] if tab else None,
        row=raw["row"],
        col=raw["col"],
        size_x=raw["size_x"],
        size_y=raw["size_y"],
        mappings=tuple(_mapping(item) for item in raw.get("parameter_mappings") or []),
        settings=raw.get("visualization_settings") or {},
    )


def _mapping(raw: Mapping[str, Any]) -> Wire:
    _known(raw, MAPPING_KEYS, "parameter mapping")
    kind, target = raw["target"][0], raw["target"][1]
    if kind == "text-tag":
        tag = target
    else:
        of, tag = target
        if of != "template-tag":
            raise _Unknown("a mapping targets something else than a template tag")
    return Wire(parameter_id=raw["parameter_id"], card_id=raw.get("card_id"), kind=kind, tag=tag)
