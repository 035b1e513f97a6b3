"""The answer key: what reconciliation must say of every order of the world at an instant.

    world at `now` -> records per order -> pairs by R5 and R12.5 -> cell of R2 -> ExpectedRow

Written from the domain rules alone and one order at a time, while the platform works on sets in SQL with seeds: neither
reads the other, so each tests the other. It assumes that both sources are known complete up to `now`, as they are after
a load from servers that stand still at `now`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from pipelines.sandbox import facts
from pipelines.sandbox.cells import GRACES, Cell, cell_of
from pipelines.sandbox.moments import instant
from pipelines.sandbox.world import TABLES, Record, World

INDIA = ZoneInfo("Asia/Kolkata")
CLIENT_PROJECTS = {
    "91G_TECH_PVT_LTD": "91game",
    "IG Indigate P_Out": "indigate_payout",
    "MNCL_M5_Pvt_Ltd": "mncl_m5",
    "Mn CL THREE_PVT_LTD": "mncl_three",
}
RECONCILED = frozenset({"91game", "indigate_payout"})
QUARANTINED = frozenset({"no_id", "inexact_amount", "no_amount", "broken_amount"})
STAKES = "SCRTUPWXF"
PAIR_DISTANCE = timedelta(hours=24)
TTL = {"UPI_COLLECT": 30, "UPI_INTENT": 15, "IMPS": 120, None: 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRow:
    """One row of fct_reconciliation, named by its legs."""

    kind: str
    flow: str
    project: str
    order_key: str | None
    vima_transaction_id: str | None
    payshack_transaction_id: str | None
    vima_attempt_ids: list[str]
    payshack_attempt_ids: list[str]
    outcome: str | None
    comparability: str
    reasons: list[str]
    severity: str | None


@dataclass(slots=True, kw_only=True)
class _Leg:
    name: str
    source: str
    flow: str
    project: str
    key: str | None
    status_class: str
    created: datetime | None
    updated: datetime
    money: facts.Money
    transaction_type: str | None
    traits: frozenset[str]
    utr: str | None
    rrn: str | None
    quarantined: bool

    @property
    def space(self) -> tuple[str, str, str]:
        return self.flow, self.project, self.key if self.key is not None else self.name

    @property
    def stake(self) -> int:
        return STAKES.index(self.status_class)


@dataclass(slots=True)
class _Row:
    vima: _Leg | None
    payshack: _Leg | None
    is_pair: bool
    is_extra: bool = False
    attempts: list[_Leg] = field(default_factory=list)

    @property
    def head(self) -> _Leg:
        head = self.vima or self.payshack
        if head is None:
            raise ValueError("a row without a leg")
        return head


def expected_rows(world: World, now: datetime) -> Iterator[ExpectedRow]:
    """Every row that fct_reconciliation must hold at `now`, order by order."""
    orders: dict[int, list[_Leg]] = defaultdict(list)
    kinds: dict[int, str] = {}
    for table in TABLES:
        for record in world.records(table, now):
            orders[record.case].append(_leg(world.seed, record))
            kinds[record.case] = record.kind
    for case, legs in sorted(orders.items()):
        for expected in _order(legs, now):
            yield _expected(kinds[case], legs, expected, now)


def _leg(seed: int, record: Record) -> _Leg:
    slot = record.slot
    is_vima = slot.source == "vima"
    is_payin = slot.flow == "payin"
    moved = record.status_class in facts.MONEY_CLASSES and not is_vima
    own_id = facts.operation_id(record) if is_vima else f"{slot.flow}:{facts.transaction_id(record)}"
    return _Leg(
        name=f"{slot.source}:{own_id}",
        source=slot.source,
        flow=slot.flow,
        project=slot.owner if is_vima else CLIENT_PROJECTS.get(slot.owner, slot.owner),
        key=facts.key_of(record),
        status_class=record.status_class,
        created=None if "no_created" in slot.traits else instant(record.created),
        updated=instant(record.updated),
        money=facts.money(seed, record),
        transaction_type=facts.transaction_type(seed, record) if not is_vima and is_payin else None,
        traits=slot.traits,
        utr=facts.utr(record) if moved else None,
        rrn=facts.rrn(record) if moved and is_payin else None,
        quarantined=bool(QUARANTINED & slot.traits),
    )


def _order(legs: list[_Leg], now: datetime) -> Iterator[_Row]:
    spaces: dict[tuple[str, str, str], list[_Leg]] = defaultdict(list)
    for leg in legs:
        if not leg.quarantined:
            spaces[leg.space].append(leg)
    for space in spaces.values():
        types = [(leg.created, leg.transaction_type) for leg in space if leg.source == "payshack"]
        for leg in space:
            leg.status_class = _class_by_clock(leg, types, now)
        if space[0].project in RECONCILED:
            yield from _rows(space)


def _class_by_clock(leg: _Leg, types: list[tuple[datetime | None, str | None]], now: datetime) -> str:
    """W becomes X after its TTL (R12.2); pay-outs know no waiting, and nothing expires there."""
    if leg.status_class != "W":
        return leg.status_class
    if leg.flow == "payout":
        return "P"
    kind = leg.transaction_type
    if leg.source == "vima":
        near = [(_apart(leg.created, created), kind) for created, kind in types if _near(leg.created, created)]
        kind = min(near, key=lambda item: item[0])[1] if near else None
    created = leg.created or now
    return "X" if created + timedelta(minutes=TTL[kind]) <= now else "W"


def _rows(space: list[_Leg]) -> list[_Row]:
    """Pairs first, then what has no counterpart, then the attempts beside them."""
    vimas = [leg for leg in space if leg.source == "vima"]
    payshacks = [leg for leg in space if leg.source == "payshack"]
    possible = [(v, p) for v, p in product(vimas, payshacks) if v.key is not None and _near(v.created, p.created)]
    money = [(v, p) for v, p in possible if v.status_class == p.status_class == "S"]
    rows: list[_Row] = []
    if money:
        for v, p in sorted(money, key=lambda pair: (_apart(pair[0].created, pair[1].created), *map(_name, pair))):
            if all(v is not row.vima and p is not row.payshack for row in rows):
                rows.append(_Row(v, p, True))
    elif possible:
        v, p = min(possible, key=lambda pair: (pair[0].stake, pair[1].stake, _apart(pair[0].created, pair[1].created)))
        rows.append(_Row(v, p, True))
    paired = {leg.name for row in rows for leg in (row.vima, row.payshack) if leg is not None}
    has_pair = bool(rows)
    for side in (vimas, payshacks):
        left = sorted((leg for leg in side if leg.name not in paired), key=_seniority)
        spoken = [leg for leg in left if leg.status_class == "S"]
        if not spoken and left and not has_pair:
            spoken = left[:1]
        any_success = any(leg.status_class == "S" for leg in side if leg.name in paired)
        for number, leg in enumerate(spoken):
            is_extra = leg.status_class == "S" and (any_success or number > 0)
            row = _Row(leg, None, False, is_extra) if leg.source == "vima" else _Row(None, leg, False, is_extra)
            rows.append(row)
        rest = [leg for leg in left if leg not in spoken]
        for leg in rest:
            rows[0].attempts.append(leg)
    return rows


def _name(leg: _Leg) -> str:
    return leg.name


def _seniority(leg: _Leg) -> tuple[int, str, str]:
    return leg.stake, leg.created.isoformat() if leg.created else "", leg.name


def _expected(kind: str, order: list[_Leg], row: _Row, now: datetime) -> ExpectedRow:
    ours = row.vima.status_class if row.vima else "-"
    theirs = row.payshack.status_class if row.payshack else "-"
    cell = cell_of(row.head.flow, ours, theirs)
    grace_over = _grace_end(cell, row) <= now
    comparability = cell.comparability if grace_over else cell.before
    outcome = cell.outcome if comparability == "comparable" else None
    difference = _difference(row)
    currencies = {leg.money.currency for leg in (row.vima, row.payshack) if leg}
    both_money = ours == theirs and ours in facts.MONEY_CLASSES
    if outcome == "matched" and both_money and (difference or len(currencies) > 1):
        outcome = "discrepancy_amount"
    reasons = [
        *_key_reasons(order, row),
        *(["duplicate_success"] if row.is_extra else []),
        *(["duplicate_utr"] if _shares_reference(order, row) else []),
        *(["missing_side"] if outcome in ("missing_vima", "missing_payshack") else []),
        *(["currency_mismatch"] if both_money and len(currencies) > 1 else []),
        *([cell.reason] if cell.reason and comparability in ("comparable", "informational") else []),
        *(["source_self_inconsistent"] if ours == "U" and row.vima and "contradiction" in row.vima.traits else []),
        *(_amount_reasons(row, difference) if both_money and len(currencies) == 1 else []),
        *_figure_flags(row),
        *(["fee_variance"] if comparability == "comparable" and _fee_differs(row) else []),
        *(["flow_assumed"] if row.vima and "no_method" in row.vima.traits else []),
        *(["cross_midnight"] if _crosses_midnight(row) else []),
    ]
    severity = None
    if comparability == "comparable":
        severity = {"matched": None, "discrepancy_amount": "high"}.get(outcome or "", cell.severity)
        if row.is_extra:
            severity = "critical"
    if "duplicate_utr" in reasons:
        severity = "critical"
    return ExpectedRow(
        kind=kind,
        flow=row.head.flow,
        project=row.head.project,
        order_key=row.head.key,
        vima_transaction_id=row.vima.name if row.vima else None,
        payshack_transaction_id=row.payshack.name if row.payshack else None,
        vima_attempt_ids=sorted(leg.name for leg in row.attempts if leg.source == "vima"),
        payshack_attempt_ids=sorted(leg.name for leg in row.attempts if leg.source == "payshack"),
        outcome=outcome,
        comparability=comparability,
        reasons=list(dict.fromkeys(reasons)),
        severity=severity,
    )


def _grace_end(cell: Cell, row: _Row) -> datetime:
    """When the cell's word holds; the beginning of time where it holds at once."""
    legs = [leg for leg in (row.vima, row.payshack) if leg is not None]
    created = [leg.created for leg in legs if leg.created is not None]
    if cell.grace is None or (cell.grace[0] in ("created", "ttl") and not created):
        return instant(0)
    basis, minutes = cell.grace
    if basis == "ttl":
        return max(created) + timedelta(minutes=TTL[row.payshack.transaction_type if row.payshack else None])
    if basis == "created":
        return max(created) + timedelta(minutes=minutes)
    if basis == "updated":
        return max(leg.updated for leg in legs) + timedelta(minutes=minutes)
    failed_or_refunded = GRACES[basis]
    return max(leg.updated for leg in legs if leg.status_class in failed_or_refunded) + timedelta(minutes=minutes)


def _key_reasons(order: list[_Leg], row: _Row) -> list[str]:
    head = row.head
    if head.key is None:
        return ["no_key"]
    if row.is_pair:
        return []
    reasons = []
    same_key = [leg for leg in order if leg.key == head.key and leg.source != head.source]
    opposite = [leg for leg in same_key if not leg.quarantined]
    elsewhere = [leg for leg in opposite if leg.space != head.space and not _has_partner(order, leg)]
    here = [leg for leg in opposite if leg.space == head.space]
    if elsewhere or (here and not any(_near(leg.created, head.created) for leg in here)):
        reasons.append("key_collision")
    if any(leg.quarantined and leg.flow == head.flow for leg in same_key):
        reasons.append("counterpart_quarantined")
    return reasons


def _has_partner(order: list[_Leg], leg: _Leg) -> bool:
    return any(other.source != leg.source and other.space == leg.space and not other.quarantined for other in order)


def _shares_reference(order: list[_Leg], row: _Row) -> bool:
    """One UTR or RRN on two successful records of PayShack."""
    ours = row.payshack
    if ours is None or ours.status_class != "S":
        return False
    others = [leg for leg in order if leg is not ours and leg.source == "payshack" and leg.flow == ours.flow]
    references = {ours.utr, ours.rrn} - {None}
    return any(leg.status_class == "S" and references & {leg.utr, leg.rrn} for leg in others)


def _amount(leg: _Leg) -> int:
    return (leg.money.paid if leg.money.paid is not None else leg.money.asked) or 0


def _difference(row: _Row) -> int:
    return _amount(row.payshack) - _amount(row.vima) if row.vima and row.payshack else 0


def _amount_reasons(row: _Row, difference: int) -> list[str]:
    if not difference or row.vima is None or row.payshack is None:
        return []
    if abs(difference) in (row.vima.money.fee, row.payshack.money.fee):
        return ["fee_netted"]
    ours, theirs = _amount(row.vima), _amount(row.payshack)
    if theirs == ours * 100 or ours == theirs * 100:
        return ["unit_error"]
    return ["underpaid" if difference < 0 else "overpaid"]


def _figure_flags(row: _Row) -> list[str]:
    leg = row.payshack
    if leg is None or leg.flow == "payout":
        return []
    money = leg.money
    if leg.status_class in facts.MONEY_CLASSES and money.paid is None:
        return ["paid_amount_missing"]
    # Asked against paid inside the source (R4.2), whatever Vima says.
    is_different = leg.status_class == "S" and money.paid is not None and money.paid != money.asked
    return ["requested_paid_differ"] if is_different else []


def _fee_differs(row: _Row) -> bool:
    """The contract charges PayShack's rate on what was asked; a pay-out knows only one amount."""
    leg = row.payshack
    if leg is None or leg.status_class != "S":
        return False
    asked = _amount(leg) if leg.flow == "payout" else leg.money.asked
    return leg.money.fee != facts.fee_of(asked or 0)


def _crosses_midnight(row: _Row) -> bool:
    if not (row.vima and row.payshack and row.vima.created and row.payshack.created):
        return False
    return row.vima.created.astimezone(INDIA).date() != row.payshack.created.astimezone(INDIA).date()


def _apart(ours: datetime | None, theirs: datetime | None) -> timedelta:
    return abs(ours - theirs) if ours and theirs else timedelta(0)


def _near(ours: datetime | None, theirs: datetime | None) -> bool:
    return _apart(ours, theirs) <= PAIR_DISTANCE
