"""Filters as callers write them, and the one `where` that they become. Lists, exports and the CLI share them.

A filter that is not named here is refused, because a mistyped one that is silently ignored would give wrong numbers.
Every value travels as a parameter; the text of the query comes from the tables below only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from psycopg import sql
from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from pipelines.sidecar.answers import Strict
from pipelines.sidecar.shapes import BreakState, Comparability, Discrepancy, Flow, Outcome, Severity, Source, Status

MAX_LIMIT = 100
MAX_PAGE = 10_000_000

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _iso_date(value: object) -> object:
    """Only a plain date: pydantic would also take a number as seconds since 1970."""
    if isinstance(value, str) and not _ISO_DATE.fullmatch(value):
        raise ValueError("write a date as 2026-01-15")
    return value


BusinessDate = Annotated[date, BeforeValidator(_iso_date)]
"""Inclusive, cut in the business time zone."""

# No control characters: PostgreSQL refuses NUL in text, and no id holds any.
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]

T = TypeVar("T")
Many = Annotated[list[T], Field(default_factory=list)]
"""Any of these values; a parameter may be repeated."""


class Filters(Strict):
    """Filters over one relation. `conditions` says what each field means in SQL, by the field's own name."""

    conditions: ClassVar[Mapping[str, str]] = {}
    elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Filters that look into another relation, which changes at other times."""

    from_date: BusinessDate | None = None
    to_date: BusinessDate | None = None

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.from_date and self.to_date and self.from_date > self.to_date:
            raise ValueError("from_date is after to_date")
        return self

    def used(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        return {
            name: value
            for name, value in ((name, getattr(self, name)) for name in self.conditions)
            if value is not None and value != []
        }

    def where(self) -> sql.Composed:
        """The condition, `true` when nothing is set; its parameters are `used()`."""
        parts = [sql.SQL(self.conditions[name]) for name in self.used()]
        return sql.SQL(" and ").join(parts or [sql.SQL("true")])


DATES = {"from_date": "business_date >= %(from_date)s", "to_date": "business_date <= %(to_date)s"}


class TransactionFilters(Filters):
    """Filters over transactions."""

    conditions: ClassVar[Mapping[str, str]] = {
        **DATES,
        "source": "source = any(%(source)s)",
        "project": "project = any(%(project)s)",
        "status": "status = any(%(status)s)",
        "flow": "flow = any(%(flow)s)",
        "currency": "currency = any(%(currency)s)",
        "payment_method": "payment_method = any(%(payment_method)s)",
        # Found first, by four indexes, and sorted then: the planner else may walk the order's index to its end.
        "search": "transaction_id = any(array(select found.transaction_id from marts.fct_transactions as found"
        " where found.transaction_id = %(search)s or found.source_txn_id = %(search)s"
        " or found.order_key = %(search)s or found.utr = %(search)s))",
    }

    source: Many[Source]
    project: Many[Word]
    status: Many[Status]
    flow: Many[Flow]
    currency: Many[Word]
    payment_method: Many[Word]
    search: Annotated[Word | None, Field(description="A whole transaction id, source id, order key or UTR")] = None


class MetricFilters(Filters):
    """Filters over metrics."""

    conditions: ClassVar[Mapping[str, str]] = {
        **DATES,
        "source": "source = any(%(source)s)",
        "project": "project = any(%(project)s)",
        "flow": "flow = any(%(flow)s)",
        "currency": "currency = any(%(currency)s)",
    }

    source: Many[Source]
    project: Many[Word]
    flow: Many[Flow]
    currency: Many[Word]


class SummaryFilters(Filters):
    """Filters over the daily reconciliation."""

    conditions: ClassVar[Mapping[str, str]] = {
        **DATES,
        "project": "project = any(%(project)s)",
        "flow": "flow = any(%(flow)s)",
    }

    project: Many[Word]
    flow: Many[Flow]


class DiscrepancyFilters(SummaryFilters):
    """Filters over what disagrees."""

    conditions: ClassVar[Mapping[str, str]] = {
        **SummaryFilters.conditions,
        "type": "outcome = any(%(type)s)",
        "severity": "severity = any(%(severity)s)",
        "state": "reconciliation_id = any(array("
        "select breaks.reconciliation_id from marts.fct_breaks as breaks where breaks.state = any(%(state)s)))",
    }

    elsewhere: ClassVar[frozenset[str]] = frozenset({"state"})

    state: Annotated[list[BreakState], Field(default_factory=list, description="State of a break of the row")]
    type: Many[Discrepancy]
    severity: Many[Severity]

    def where(self) -> sql.Composed:
        """Only what disagrees, narrowed by the filters."""
        return sql.SQL("outcome <> 'matched' and ") + super().where()


class ReconciliationFilters(SummaryFilters):
    """Filters over all of the reconciliation, also what is matched or cannot be compared yet."""

    conditions: ClassVar[Mapping[str, str]] = {
        **DiscrepancyFilters.conditions,
        "comparability": "comparability = any(%(comparability)s)",
    }

    state: Annotated[list[BreakState], Field(default_factory=list, description="State of a break of the row")]
    type: Many[Outcome]
    severity: Many[Severity]
    comparability: Many[Comparability]


class Page(Strict):
    """Which page, and in which order."""

    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    order: Literal["asc", "desc"] = "desc"

    def ordering(self, *keys: str, backwards: bool = False) -> sql.Composed:
        """`order by` over all keys, the last of them unique, so that no row is on two pages or on none."""
        direction = sql.SQL("asc" if (self.order == "asc") is not backwards else "desc")
        return sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(key), direction) for key in keys)

    def window(self, total: int) -> "Window":
        """Where the page lies among `total` rows, counted from the nearer end."""
        first = (self.page - 1) * self.limit
        count = max(0, min(self.limit, total - first))
        after = total - first - count
        if first > after:
            return Window(limit=count, offset=after, backwards=True)
        return Window(limit=count, offset=first, backwards=False)


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` rows behind the first `offset` of the nearer end: rows that are passed over cost time."""

    limit: int
    offset: int
    backwards: bool
