"""The same action on many breaks: each row succeeds or is refused by itself, and says which."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.breaks.errors import ActionRefused, BreakError
from pipelines.breaks.ledger import Break

BULK_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A break and the newest event of it that whoever acts has seen."""

    break_id: str
    expected_event_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What became of one row: the break as it is now, or why it was refused (`kind` is the error's class)."""

    break_id: str
    found: Break | None = None
    kind: str | None = None
    error: str | None = None
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the action was carried out, or proposed."""
        return self.error is None


def each(targets: Sequence[Target], act: Callable[[Target], Break]) -> list[RowResult]:
    """`act` on every target, each in a transaction of its own, so that nobody else waits for the whole list.

    What was refused does not undo what was not. Raises ActionRefused for more than BULK_LIMIT targets or one named
    twice; DatabaseError stops it, with what was done before kept.
    """
    names = [target.break_id for target in targets]
    if len(names) > BULK_LIMIT:
        raise ActionRefused(f"{len(names)} breaks are too many for one call.", fix=f"send at most {BULK_LIMIT}")
    if len(set(names)) < len(names):
        raise ActionRefused("A break is named twice.", fix="name each break once")
    results = []
    for target in targets:
        try:
            results.append(RowResult(break_id=target.break_id, found=act(target)))
        except BreakError as error:
            results.append(
                RowResult(break_id=target.break_id, kind=type(error).__name__, error=error.message, fix=error.fix)
            )
    return results
