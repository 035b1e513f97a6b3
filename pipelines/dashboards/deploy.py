"""dashboards/deploy.yaml: what a Metabase needs beside content, and what the format has no word for.

connections     one per audience, each with a PostgreSQL role of its own; a collection belongs to one
groups          who sees which collection; nobody writes queries
subscriptions   files by mail
exports         the same files by Dagster: any size, exact time
cache           how long an answer is kept
settings        settings of the server
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.core.errors import DashboardError
from pipelines.dashboards.entities import Card, Content
from pipelines.dashboards.files import FOLDER, read_yaml

FILE = "deploy.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Connection(_Strict):
    """One database connection of Metabase. `role` is the login role that it uses, a member of psp_reader."""

    role: Annotated[str, Field(pattern=r"^psp_metabase_[a-z]+$")]
    statement_seconds: Annotated[int, Field(ge=1, le=600)]
    collections: list[str]
    description: str


class Group(_Strict):
    """A group of people and the collections, by name, that it may read. Everybody reads those of `All Users`."""

    reads: list[str]


class Attached(_Strict):
    """A card whose rows go along as files."""

    card: str
    csv: bool = True
    xlsx: bool = False


class Subscription(_Strict):
    """A dashboard by mail, known by its name and dashboard. Hours are in the business time zone."""

    name: str
    dashboard: str
    schedule: Literal["daily", "weekly", "monthly"]
    hour: Annotated[int, Field(ge=0, le=23)]
    day: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = None
    frame: Literal["first", "mid", "last"] | None = None
    cards: list[Attached]


class ScheduledExport(_Strict):
    """A card's rows as files, by Dagster. `filters` are values by tag, `counted_by` the mart to compare with."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    card: str
    cron: str
    formats: list[Literal["csv", "xlsx"]]
    filters: dict[str, list[str]] = {}
    counted_by: str
    counted_statuses: list[str] = []
    description: str


class Cache(_Strict):
    """The open-source edition's one policy: an answer that took at least so many milliseconds is kept for so many times
    as long as it took."""

    multiplier: Annotated[int, Field(ge=1)]
    milliseconds: Annotated[int, Field(ge=0)]


class Deploy(_Strict):
    """The whole file."""

    root: str
    connections: dict[str, Connection]
    groups: dict[str, Group]
    subscriptions: list[Subscription]
    exports: list[ScheduledExport]
    cache: Cache
    settings: dict[str, Any]

    def database_of(self, content: Content, collection_id: str | None) -> str | None:
        """The connection of a collection: its own, else that of the folder above it."""
        trail = content.trail(collection_id)
        for name in reversed(trail):
            for connection, found in self.connections.items():
                if name in found.collections:
                    return connection
        return None

    def problems(self, content: Content) -> Iterator[str]:
        """What names something that is not there."""
        names = {item.name for item in content.collections.values()}
        boards = {item.slug: item for item in content.dashboards.values()}
        for title, group in self.groups.items():
            yield from (
                f"{FILE}: group {title} reads {name}, which is no collection"
                for name in group.reads
                if name not in names
            )
        for title, connection in self.connections.items():
            for name in connection.collections:
                if name not in names:
                    yield f"{FILE}: connection {title} is for {name}, which is no collection"
        for item in self.subscriptions:
            board = boards.get(item.dashboard)
            if board is None:
                yield f"{FILE}: {item.name} sends {item.dashboard}, which is no dashboard"
                continue
            here = {card.path.stem for card in content.cards_of(board)}
            for attached in item.cards:
                if attached.card not in here:
                    yield f"{FILE}: {item.name} attaches {attached.card}, which is not on {board.name}"
            if (item.schedule == "weekly") != (item.day is not None) or (item.schedule == "monthly") != (
                item.frame is not None
            ):
                yield f"{FILE}: {item.name}: a weekly one needs a day, a monthly one a frame, a daily one neither"
        cards = {card.path.stem: card for card in content.cards.values()}
        for export in self.exports:
            card = cards.get(export.card)
            if not export.filters.get("period"):
                yield f"{FILE}: {export.name} needs a period"
            if card is None:
                yield f"{FILE}: {export.name} exports {export.card}, which is no card"
            else:
                yield from (
                    f"{FILE}: {export.name} sets {tag}, which {card.name} has not"
                    for tag in export.filters
                    if tag not in card.tags
                )


def load_deploy(folder: Path = FOLDER) -> Deploy:
    """The file of a folder. Raises DashboardError naming every wrong key."""
    try:
        raw = read_yaml(folder / FILE)
        return Deploy.model_validate(raw)
    except OSError as error:
        raise DashboardError(f"{FILE} cannot be read ({error.strerror}).", fix=f"put it into {folder}") from None
    except yaml.YAMLError as error:
        raise DashboardError(f"{FILE} is no YAML: {' '.join(str(error).split())}.", fix="correct it") from None
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors(include_url=False)
        )
        raise DashboardError(
            f"{FILE}: {told}.", fix="see pipelines/dashboards/deploy.py for what it may hold"
        ) from None


def card_named(content: Content, slug: str) -> Card:
    """The card whose file has this name. Raises DashboardError."""
    for card in content.cards.values():
        if card.path.stem == slug:
            return card
    raise DashboardError(f"There is no card {slug}.", fix="name a card's file without .yaml")
