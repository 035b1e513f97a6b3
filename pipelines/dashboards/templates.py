"""A card's query with values for its tags, as Metabase would send it to the database.

    where {{period}} and {{project}} [[and amount >= {{least}}]]

- A field filter is written bare. With a value it becomes a condition on its own column, named in full (so a table must
  not be aliased, unless the tag says how); without one, `1 = 1`.
- Any other tag is a value. What stands in `[[ ]]` is left out when a tag in it has none; elsewhere it needs one.
- Values of the dashboard's filter win over the tag's default; an empty filter means the default is not used either,
  unless the tag is required.

Values are sent as parameters, never as text of the query. Raises DashboardError.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from pipelines.core.errors import DashboardError
from pipelines.dashboards.dates import parse_days
from pipelines.dashboards.entities import Card, Tag

Values = Mapping[str, Sequence[Any]]
"""Values by tag; an absent or empty one is a filter that is not set."""

TAG = re.compile(r"\{\{\s*([A-Za-z0-9_.]+)\s*\}\}")
_PIECES = re.compile(r"(\[\[|\]\])")


@dataclass(slots=True)
class Statement:
    """What psycopg runs: placeholders by name."""

    text: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    def value(self, value: Any, cast: str = "") -> str:
        """A placeholder for the value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"%({name})s{cast}"


def tags_in(sql: str) -> set[str]:
    """Names that the query uses."""
    return set(TAG.findall(sql))


def render(card: Card, values: Values, today: date) -> Statement:
    """The statement for these values. `today` is the business date that relative dates count from."""
    unknown = sorted(set(values) - set(card.tags))
    if unknown:
        raise DashboardError(f"{card.name}: there is no tag {', '.join(unknown)}.", fix="name a tag of the query")
    given = {name: _given(tag, values) for name, tag in card.tags.items()}
    statement = Statement()

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name not in card.tags:
            raise DashboardError(f"{card.name}: the tag {name} is not defined.", fix="add it to template-tags")
        tag = card.tags[name]
        if tag.type == "dimension":
            return _condition(tag, given[name], statement, today) if given[name] else "1 = 1"
        if not given[name]:
            raise DashboardError(f"{card.name}: {tag.display_name} needs a value.", fix=f"set the filter {name}")
        return ", ".join(_literal(tag, value, statement) for value in given[name])

    parts: list[str] = []
    for text, optional in _blocks(card):
        # psycopg reads % as the begin of a placeholder.
        escaped = text.replace("%", "%%")
        if optional and any(not given.get(name) for name in tags_in(text)):
            continue
        parts.append(TAG.sub(replaced, escaped))
    statement.text = "".join(parts)
    return statement


def _given(tag: Tag, values: Values) -> list[Any]:
    found = [value for value in values.get(tag.name, ()) if value not in (None, "")]
    if found or not tag.required or tag.default is None:
        return found
    return tag.default if isinstance(tag.default, list) else [tag.default]


def _blocks(card: Card) -> list[tuple[str, bool]]:
    """The query cut into pieces; True for what stood in [[ ]], which cannot be nested."""
    blocks: list[tuple[str, bool]] = []
    inside = False
    for piece in _PIECES.split(card.sql):
        if piece in ("[[", "]]"):
            if (piece == "[[") == inside:
                raise DashboardError(f"{card.name}: [[ and ]] do not pair.", fix="close each optional part, nest none")
            inside = not inside
        elif piece:
            blocks.append((piece, inside))
    if inside:
        raise DashboardError(f"{card.name}: an optional part is not closed.", fix="write ]] at its end")
    return blocks


def column_of(tag: Tag) -> str:
    """How Metabase names the column of a field filter: in full, or by the alias that the tag gives."""
    if tag.alias:
        return tag.alias
    if tag.field is None:
        raise DashboardError(f"The tag {tag.name} is no field filter.", fix="give it a dimension")
    return f'"{tag.field.schema}"."{tag.field.table}"."{tag.field.column}"'


def _condition(tag: Tag, values: list[Any], statement: Statement, today: date) -> str:
    column, kind = column_of(tag), tag.widget_type or "category"
    if kind.startswith("date/"):
        return _dated(column, values, statement, today)
    if kind in _TEXT:
        return _TEXT[kind](column, [statement.value(str(value)) for value in values])
    if kind in _NUMBER:
        numbers = [statement.value(_number(tag, value)) for value in values]
        if kind == "number/between" and len(numbers) != 2:
            raise DashboardError(f"{tag.display_name} needs two numbers.", fix="give the least and the most")
        return _NUMBER[kind](column, numbers)
    if kind == "boolean/=":
        return f"{column} = any({statement.value([_boolean(tag, value) for value in values])}::boolean[])"
    raise DashboardError(f"{tag.display_name}: {kind} is not known here.", fix="use a widget type of templates.py")


def _dated(column: str, values: list[Any], statement: Statement, today: date) -> str:
    """A range of days over a date; the end of the range is the end of its day."""
    if len(values) != 1:
        raise DashboardError("A date filter takes one value.", fix="write a range such as 2026-01-01~2026-01-31")
    days = parse_days(str(values[0]), today)
    conditions = []
    if days.first is not None:
        conditions.append(f"{column} >= {statement.value(days.first, '::date')}")
    if days.last is not None:
        conditions.append(f"{column} < {statement.value(days.last, '::date')} + 1")
    return f"({' and '.join(conditions)})"


def _any_of(form: str) -> Callable[[str, list[str]], str]:
    return lambda column, holders: f"({' or '.join(form.format(column, holder) for holder in holders)})"


def _none_of(form: str) -> Callable[[str, list[str]], str]:
    return lambda column, holders: (
        f"({column} is null or ({' and '.join(form.format(column, holder) for holder in holders)}))"
    )


def _one_of(column: str, holders: list[str]) -> str:
    return f"{column} = {holders[0]}" if len(holders) == 1 else f"{column} in ({', '.join(holders)})"


# A value may hold % and _: position and left() take it as it is.
_TEXT: dict[str, Callable[[str, list[str]], str]] = {
    "category": _one_of,
    "id": _one_of,
    "string/=": _one_of,
    "string/!=": _none_of("{0} <> {1}"),
    "string/contains": _any_of("position(lower({1}) in lower({0})) > 0"),
    "string/does-not-contain": _none_of("position(lower({1}) in lower({0})) = 0"),
    "string/starts-with": _any_of("starts_with(lower({0}), lower({1}))"),
    "string/ends-with": _any_of("right(lower({0}), length({1})) = lower({1})"),
}
_NUMBER: dict[str, Callable[[str, list[str]], str]] = {
    "number/=": _one_of,
    "number/!=": _none_of("{0} <> {1}"),
    "number/>=": _any_of("{0} >= {1}"),
    "number/<=": _any_of("{0} <= {1}"),
    "number/between": lambda column, holders: f"{column} between {holders[0]} and {holders[1]}",
}
WIDGETS = frozenset({*_TEXT, *_NUMBER, "boolean/=", "date/all-options", "date/range", "date/single", "date/relative"})
"""Widget types that are understood here."""


def _literal(tag: Tag, value: Any, statement: Statement) -> str:
    if tag.type == "number":
        return statement.value(_number(tag, value))
    if tag.type == "date":
        return statement.value(date.fromisoformat(str(value)), "::date")
    if tag.type == "boolean":
        return "1 = 1" if _boolean(tag, value) else "1 <> 1"
    return statement.value(str(value))


def _number(tag: Tag, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise DashboardError(f"{tag.display_name}: {value!r} is no number.", fix="write it as 1250.50")
    return number


def _boolean(tag: Tag, value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise DashboardError(f"{tag.display_name}: {value!r} is neither true nor false.", fix="write true or false")
    return text == "true"
