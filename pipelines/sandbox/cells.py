"""The pair matrix of domain R2 with the rulings of R12, as a person would write it down; the answer key reads it.

Line: flow, Vima's classes, PayShack's classes (`-` for an absent side), outcome or `informational`, reason, severity,
grace. A grace is its basis and minutes: `updated` since the newest change of the pair, `created` since creation, `ttl`
the transaction type's TTL since creation, `failed` since the failure, `refunded` since the refund. Until it ends the
row is in flight, or not yet comparable where a side with something at stake is missing.
"""

from dataclasses import dataclass
from functools import cache

GRACES = {"failed": "FX", "refunded": "R"}

MATRIX = """
payin  S   S   matched             .                         .
payin  S   FX  discrepancy_status  credited_without_money    critical
payin  S   PW  discrepancy_status  status_lag                high      updated 10
payin  S   R   discrepancy_status  refund_not_reflected      medium    refunded 1440
payin  S   C   discrepancy_status  chargeback_not_reflected  high
payin  S   -   missing_payshack    .                         critical  created 15
payin  FX  S   discrepancy_status  late_success              high
payin  FX  FX  matched             .                         .
payin  FX  PW  discrepancy_status  status_lag                low       failed 4320
payin  FX  R   matched             auto_reversed             .
payin  FX  C   discrepancy_status  chargeback_on_failed      medium
payin  FX  -   informational       not_sent                  .
payin  PW  S   discrepancy_status  status_lag                high      updated 15
payin  PW  FX  discrepancy_status  status_lag                low       updated 15
payin  PW  PW  matched             .                         .         ttl
payin  PW  R   discrepancy_status  refund_not_reflected      medium    updated 15
payin  PW  C   discrepancy_status  chargeback_not_reflected  high
payin  PW  -   informational       not_sent                  .         ttl
payin  -   S   missing_vima        .                         high      created 15
payin  -   FX  informational       .                         .
payin  -   PW  informational       .                         .         ttl
payin  -   R   informational       .                         .
payin  -   C   missing_vima        chargeback_not_reflected  medium    created 15
payout S   S   matched             .                         .
payout S   F   discrepancy_status  beneficiary_not_paid      high
payout S   P   discrepancy_status  status_lag                high      updated 10
payout S   R   discrepancy_status  refund_not_reflected      medium    refunded 1440
payout S   -   missing_payshack    .                         high      created 15
payout F   S   discrepancy_status  paid_out_though_failed    critical
payout F   F   matched             .                         .
payout F   P   discrepancy_status  status_lag                low       failed 4320
payout F   R   matched             auto_reversed             .
payout F   -   informational       not_sent                  .
payout P   S   discrepancy_status  status_lag                high      updated 15
payout P   F   discrepancy_status  status_lag                low       updated 15
payout P   P   discrepancy_status  status_lag                medium    created 1440
payout P   R   discrepancy_status  refund_not_reflected      medium    updated 15
payout P   -   missing_payshack    .                         medium    created 1440
payout -   S   missing_vima        .                         critical  created 15
payout -   F   informational       .                         .
payout -   P   missing_vima        .                         medium    created 1440
payout -   R   informational       .                         .
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is said of a pair or single once the grace is over, and what before."""

    outcome: str | None
    comparability: str
    reason: str | None
    severity: str | None
    grace: tuple[str, int] | None
    before: str


def cell_of(flow: str, ours: str, theirs: str) -> Cell:
    """The cell of two classes. Raises KeyError for classes that cannot meet."""
    # T and U outweigh whatever the other side says (R2); alone they wait for the other source (R12.3).
    for status_class, reason, severity in (("T", "suspect", "high"), ("U", "unmapped_status", "medium")):
        if status_class in (ours, theirs):
            missing = {"-": "missing_vima"}.get(ours) or {"-": "missing_payshack"}.get(theirs)
            return Cell(
                outcome=missing or "discrepancy_status",
                comparability="comparable",
                reason=reason,
                severity=severity,
                grace=("created", 15) if missing else None,
                before="not_yet_comparable",
            )
    return _matrix()[flow, ours, theirs]


@cache
def _matrix() -> dict[tuple[str, str, str], Cell]:
    found = {}
    for line in MATRIX.strip().splitlines():
        flow, all_ours, all_theirs, outcome, reason, severity, *grace = line.split()
        # A single that carries money waits for the other source; one that is still moving is in flight.
        waits = outcome.startswith("missing") and not {"P", "W"} & {all_ours, all_theirs}
        cell = Cell(
            outcome=None if outcome == "informational" else outcome,
            comparability="informational" if outcome == "informational" else "comparable",
            reason=None if reason == "." else reason,
            severity=None if severity == "." else severity,
            grace=(grace[0], int(grace[1]) if len(grace) > 1 else 0) if grace else None,
            before="not_yet_comparable" if waits else "in_flight",
        )
        for ours in all_ours:
            for theirs in all_theirs:
                found[flow, ours, theirs] = cell
    return found
