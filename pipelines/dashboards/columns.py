"""Which columns of its query a card relies on, and where its clicks lead.

visualization settings -> used columns (charts, tables, formats, rules), clicks
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.dashboards.entities import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """What a click does. `sources` are the columns or parameters that it reads, by the target's parameter."""

    column: str | None
    raw: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """link or crossfilter."""
        return str(self.raw.get("type"))

    @property
    def target(self) -> str | None:
        """The entity id that it leads to."""
        found = self.raw.get("targetId")
        return None if found is None else str(found)

    @property
    def sources(self) -> dict[str, tuple[str, str]]:
        """Target parameter id -> (column or parameter, its name)."""
        mapping = self.raw.get("parameterMapping") or {}
        return {key: (item["source"]["type"], item["source"]["id"]) for key, item in mapping.items()}


def column_settings(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """Settings by column. Raises ValueError for a key that is not `["name","column"]`."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, value in (settings.get("column_settings") or {}).items():
        parsed = json.loads(key)
        if not (isinstance(parsed, list) and len(parsed) == 2 and parsed[0] == "name"):
            raise ValueError(f'{key} is not of the form ["name","column"]')
        if key != json.dumps(parsed, separators=(",", ":")):
            raise ValueError(f"{key} holds blanks; Metabase compares the text as it is")
        found[parsed[1]] = value
    return found


def clicks(settings: Settings) -> Iterator[Click]:
    """Clicks of the whole card, then of its columns."""
    if settings.get("click_behavior"):
        yield Click(column=None, raw=settings["click_behavior"])
    for name, value in column_settings(settings).items():
        if value.get("click_behavior"):
            yield Click(column=name, raw=value["click_behavior"])


def used_columns(display: str, settings: Settings) -> dict[str, str]:
    """Columns that must be in the result, with the setting that names each."""
    used: dict[str, str] = {}

    def use(key: str, *names: Any) -> None:
        for name in names:
            if isinstance(name, str):
                used.setdefault(name, key)

    for key in ("graph.dimensions", "graph.metrics", "graph.tooltip_columns"):
        use(key, *(settings.get(key) or ()))
    single = ("scalar.field", "pie.dimension", "pie.metric", "funnel.dimension", "funnel.metric")
    for key in single:
        use(key, settings.get(key))
    use("table.columns", *(item.get("name") for item in settings.get("table.columns") or ()))
    for rule in settings.get("table.column_formatting") or ():
        use("table.column_formatting", *rule.get("columns", ()))
    for comparison in settings.get("scalar.comparisons") or ():
        use("scalar.comparisons", comparison.get("column"))
    use("column_settings", *column_settings(settings))
    for click in clicks(settings):
        use("click_behavior", *(name for kind, name in click.sources.values() if kind == "column"))
    return used
