"""What one plan or apply carries along: the connection, the wishes, what has been found out and what was changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.core.errors import DashboardError
from pipelines.core.settings import Settings
from pipelines.dashboards.deploy import Deploy
from pipelines.dashboards.entities import Content, Field
from pipelines.dashboards.provision.client import Client

Action = Literal["create", "update", "archive", "keep"]
MARK = "[code:{}]"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is made, changed or put away. `details` are the parts that differ."""

    action: Action
    kind: str
    name: str
    details: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Work:
    """One run. With `dry` nothing is sent that changes anything; what would be made has a negative id."""

    client: Client
    settings: Settings
    content: Content
    deploy: Deploy
    dry: bool
    me: int | None = None
    say: Callable[[str], None] = lambda _: None
    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    databases: dict[str, int] = field(default_factory=dict)
    fields: dict[Field, int] = field(default_factory=dict)
    collections: dict[str, int] = field(default_factory=dict)
    cards: dict[str, int] = field(default_factory=dict)
    dashboards: dict[str, int] = field(default_factory=dict)
    tabs: dict[str, int] = field(default_factory=dict)
    _invented: int = 0

    def note(self, action: Action, kind: str, name: str, details: tuple[str, ...] = ()) -> None:
        """Remember a change and tell of it."""
        self.changes.append(Change(action, kind, name, details))
        self.say(f"{kind} {name}")

    def create(self, kind: str, name: str, path: str, body: Mapping[str, Any]) -> int:
        """Make one; its id."""
        self.note("create", kind, name)
        if self.dry:
            self._invented -= 1
            return self._invented
        return int(self.client.post(path, body)["id"])

    def update(self, kind: str, name: str, path: str, body: Mapping[str, Any], details: tuple[str, ...]) -> None:
        """Change one."""
        self.note("update", kind, name, details)
        if not self.dry:
            self.client.put(path, body)

    def field_id(self, wanted: Field) -> int:
        """The id that this Metabase gave the column; only known after its schema sync."""
        found = self.fields.get(wanted)
        if found is None:
            raise DashboardError(
                f"Metabase does not know {wanted.schema}.{wanted.table}.{wanted.column} in {wanted.database}.",
                fix="run the models (`psp sync all`), then apply again",
            )
        return found


def marked(description: str, entity_id: str) -> str:
    """The description with the mark by which the entity is found again."""
    return f"{description.strip()}\n\n{MARK.format(entity_id)}"


def entity_of(description: str | None) -> str | None:
    """The entity id in a description, if it carries our mark."""
    text = (description or "").rstrip()
    head, separator, tail = text.rpartition("[code:")
    return tail[:-1] if separator and tail.endswith("]") and head is not None else None


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys whose values differ."""
    return tuple(key for key, value in wanted.items() if found.get(key) != value)
