"""One page of a fact with the total beside it. A total is counted once for as long as the fact does not change.

Counting a million rows costs more than any page of them. Facts change only in a run of the models, and each row carries
the transaction that last wrote it (`changed_xid`, indexed), so the greatest tells whether a known total still holds.
"""

from collections import OrderedDict
from dataclasses import dataclass

from psycopg import sql

from pipelines.sidecar.answers import Strict, paging
from pipelines.sidecar.database import Reader, Row
from pipelines.sidecar.filters import Filters, Page
from pipelines.sidecar.remembered import Draft
from pipelines.sidecar.shapes import columns

KEPT_TOTALS = 1000

VERSION = sql.SQL("select coalesce(max(changed_xid), 0) as total from {relation}")
COUNT = sql.SQL("select count(*) as total from {relation} where {where}")
# The keys of the page are found first, where an index holds them without the rows; then its rows are read.
LIST = sql.SQL(
    """
    with page as materialized (
        select {unique} from {relation} where {where} order by {scan} limit %(limit)s offset %(offset)s
    )
    select {columns} from {relation} inner join page using ({unique}) order by {order}
    """
)
# Few rows are found by their filters, counted and sorted in one go: the planner else may walk the order's index to its
# end for them. One row too many says that they are not few.
FEW = sql.SQL(
    """
    with found as materialized (
        select {unique}, {sort_by} from {relation} where {where} limit %(few)s
    ),
    page as materialized (
        select {unique} from found order by {order} limit %(limit)s offset %(offset)s
    )
    select (select count(*) from found) as total, row.*
    from (select true) as once
    left join (select {columns} from {relation} inner join page using ({unique})) as row on true
    order by {order}
    """
)
FEW_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Rows(Draft):
    """A page, as rows that a route may still add to."""

    data: list[Row]


class Lister:
    """Reads pages of one fact, whose rows are told apart by `unique`."""

    def __init__(self, *, fact: str, row: type[Strict], unique: str) -> None:
        self._relation = sql.Identifier("marts", fact)
        self._columns, self._unique = columns(row), unique
        self._totals: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def page(self, reader: Reader, filters: Filters, page: Page, sort_by: str) -> Rows:
        """The rows of the page, and how many there are on all pages."""
        where, used = filters.where(), filters.used()
        question = repr(sorted(used.items()))
        version = await reader.total(VERSION.format(relation=self._relation), {})
        total = None if used.keys() & filters.elsewhere else self._known(question, version)
        if used and (total is None or total <= FEW_ROWS):
            few = await self._few(reader, filters, page, sort_by)
            if few is not None:
                found, total = few
                self._keep(question, version, total)
                return Rows(found, paging(page=page.page, limit=page.limit, total=total))
        if total is None:
            total = await reader.total(COUNT.format(relation=self._relation, where=where), used)
            self._keep(question, version, total)
        window = page.window(total)
        rows: list[Row] = []
        if window.limit:
            query = LIST.format(
                columns=self._columns,
                unique=sql.Identifier(self._unique),
                relation=self._relation,
                where=where,
                scan=page.ordering(sort_by, self._unique, backwards=window.backwards),
                order=page.ordering(sort_by, self._unique),
            )
            rows = await reader.rows(query, used | {"limit": window.limit, "offset": window.offset})
        return Rows(rows, paging(page=page.page, limit=page.limit, total=total))

    async def _few(self, reader: Reader, filters: Filters, page: Page, sort_by: str) -> tuple[list[Row], int] | None:
        """The rows and the total, or None when there are more than a few."""
        query = FEW.format(
            columns=self._columns,
            sort_by=sql.Identifier(sort_by),
            unique=sql.Identifier(self._unique),
            relation=self._relation,
            where=filters.where(),
            order=page.ordering(sort_by, self._unique),
        )
        window = {"few": FEW_ROWS + 1, "limit": page.limit, "offset": (page.page - 1) * page.limit}
        found = await reader.rows(query, filters.used() | window)
        total = int(found[0]["total"])
        if total > FEW_ROWS:
            return None
        # A page beyond the end is one line that holds the total alone.
        rows = [row for row in found if row[self._unique] is not None]
        for row in rows:
            del row["total"]
        return rows, total

    def _known(self, question: str, version: int) -> int | None:
        found = self._totals.get(question)
        return found[1] if found and found[0] == version else None

    def _keep(self, question: str, version: int, total: int) -> None:
        self._totals[question] = (version, total)
        self._totals.move_to_end(question)
        if len(self._totals) > KEPT_TOTALS:
            self._totals.popitem(last=False)
