"""One page of a fact with the total beside it. A total is counted once for as long as the fact does not change.

Counting a million rows costs more than any page of them. Facts change only in a run of the models, and each row carries
the transaction that last wrote it (`changed_xid`, indexed), so the greatest tells whether a known total still holds.
"""

from collections import OrderedDict

from psycopg import sql

from pipelines.sidecar.answers import Strict
from pipelines.sidecar.database import Database, Row
from pipelines.sidecar.filters import Filters, Page
from pipelines.sidecar.freshness import Freshness
from pipelines.sidecar.shapes import columns

KEPT_TOTALS = 1000

VERSION = sql.SQL("select coalesce(max(changed_xid), 0) as total from {relation}")
COUNT = sql.SQL("select count(*) as total from {relation} where {where}")
LIST = sql.SQL("select {columns} from {relation} where {where} order by {order} limit %(limit)s offset %(offset)s")


class Lister:
    """Reads pages of one fact, whose rows are told apart by `unique`."""

    def __init__(self, database: Database, *, fact: str, row: type[Strict], unique: str) -> None:
        self._database = database
        self._relation = sql.Identifier("marts", fact)
        self._columns, self._unique = columns(row), unique
        self._totals: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def page(self, filters: Filters, page: Page, sort_by: str) -> tuple[list[Row], int, Freshness]:
        """The rows of the page, how many there are on all pages, and how fresh they are: all of one snapshot."""
        where, parameters = filters.where(), filters.used() | page.window()
        query = LIST.format(
            columns=self._columns,
            relation=self._relation,
            where=where,
            order=page.ordering(sort_by, self._unique),
        )
        question = repr(sorted(filters.used().items()))
        async with self._database.snapshot() as reader:
            version = await reader.total(VERSION.format(relation=self._relation), {})
            total = self._known(question, version)
            if total is None:
                total = await reader.total(COUNT.format(relation=self._relation, where=where), parameters)
                self._keep(question, version, total)
            rows = await reader.rows(query, parameters) if total > page.window()["offset"] else []
        return rows, total, reader.freshness

    def _known(self, question: str, version: int) -> int | None:
        found = self._totals.get(question)
        return found[1] if found and found[0] == version else None

    def _keep(self, question: str, version: int, total: int) -> None:
        self._totals[question] = (version, total)
        self._totals.move_to_end(question)
        if len(self._totals) > KEPT_TOTALS:
            self._totals.popitem(last=False)
