"""What a load has done, for people, run metadata and the sensors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True, kw_only=True)
class LoadReport:
    """Outcome of one load. `scope` names the cursor or the window; watermarks are per flow, UTC.

    `orders_due` are orders with an open break that a load should have asked for again, `orders_rechecked` those it did.
    """

    source: str
    mode: str
    scope: str
    pages: int = 0
    rows_read: int = 0
    rows_new: int = 0
    rows_quarantined: int = 0
    orders_due: int = 0
    orders_rechecked: int = 0
    rows_by_table: dict[str, int] = field(default_factory=dict)
    watermarks: dict[str, datetime] = field(default_factory=dict)
    duration_seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything reached the raw log that was not there."""
        return self.rows_new > 0 or self.rows_quarantined > 0

    def count(self, table: str, *, new: int, quarantined: int) -> None:
        """Add what one committed file brought."""
        self.rows_new += new
        self.rows_quarantined += quarantined
        self.rows_by_table[table] = self.rows_by_table.get(table, 0) + new


Progress = Callable[[LoadReport], None]
"""Called from time to time while a load goes on."""
