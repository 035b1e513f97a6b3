"""Generated worlds for the invariants of reconciliation: many small ones in one database, told in several ways.

    World n -> Version (side, class, times, money), neither Vima's nor PayShack's yet
            -> table `versions` -> raw log, once per telling: as it is, late and in pieces, or mirrored and shifted

A world is a project of its own with its own keys and references, so worlds cannot meet and any number of them is one
run of the models. Everything happens within two days. Side `a` is Vima's, `b` PayShack's; a mirrored telling swaps.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

START = datetime.fromisoformat("2026-01-10T00:30:00+00:00")
LENGTH = timedelta(days=2)
PORTIONS = 4
SEPARATED = timedelta(hours=30)

# What a record goes through, by where it ends; a version may also fall back, which must change nothing.
PATHS = {
    "payin": (*["PS"] * 9, "S", "PF", "PF", "F", "PW", "W", "P", "PT", "PU", "PSR", "PSC", "PFS", "PSP", "WS", "PFP"),
    "payout": (*["PS"] * 9, "S", "PF", "PF", "F", "P", "PU", "PSR", "PFS", "PSP"),
}
COLUMNS = (
    "world, record, side, flow, is_routed, key, created, version, class, updated, asked, paid, fee, currency, utr, rrn,"
    " portion, is_extra"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a record, money in minor units. `portion` is when it arrives, where it arrives in pieces."""

    world: int
    record: int
    side: str
    flow: str
    is_routed: bool
    key: str | None
    created: datetime
    version: int
    status_class: str
    updated: datetime
    asked: int
    paid: int | None
    fee: int
    currency: str
    utr: str | None
    rrn: str | None
    portion: int
    is_extra: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leg:
    side: str
    flow: str
    key: str | None
    created: datetime
    path: str
    asked: int
    paid: int
    currency: str = "INR"
    utr: str | None = None
    rrn: str | None = None
    is_routed: bool = True


class World:
    """All versions of one world. Worlds whose number divides by three tolerate small differences."""

    def __init__(self, number: int, *, orders: int) -> None:
        self.number = number
        self._chance = random.Random(number)  # noqa: S311 - invented data, not a secret
        self._orders = orders
        self._records = count(1)
        self._portion_ends = portion_ends()
        # Microseconds that occur once, so that no two distances are equal and ids never decide.
        self._instants = count(1)
        self._references: list[str] = []

    @property
    def is_tolerant(self) -> bool:
        return self.number % 3 == 0

    def versions(self) -> Iterator[Version]:
        """Every version of every order, then of orders that the others know nothing of."""
        for number in range(self._orders):
            for leg in self._order(f"K{number:04d}"):
                yield from self._record(leg, is_extra=False)
        for number in range(self._orders // 20):
            created, amount = self._moment(), self._amount()
            for side in "ab":
                leg = _Leg(
                    side=side,
                    flow="payin",
                    key=f"U{number:04d}",
                    created=self._near(created),
                    path=self._chance.choice(PATHS["payin"]),
                    asked=amount,
                    paid=amount,
                )
                yield from self._record(leg, is_extra=True)

    def _order(self, key: str) -> list[_Leg]:
        chance = self._chance
        flow = "payin" if chance.random() < 0.75 else "payout"
        created, amount = self._moment(), self._amount()
        sides = chance.choices(("ab", "a", "b"), (0.84, 0.08, 0.08))[0]
        # The reference of the money, known to both sides where both are told of it.
        shared = self._reference() if chance.random() < 0.5 else None
        # A key that came to one side with an error in it: only the reference still ties the two together.
        typed = key if chance.random() < 0.93 else f"{key}x"
        legs = []
        for side in sides:
            copies = chance.choices((1, 2, 3), (0.86, 0.1, 0.04))[0]
            own = key if side == "a" else typed
            legs += [self._leg(side, flow, own, self._near(created), amount, shared) for _ in range(copies)]
            shared = shared if chance.random() < 0.9 else None
        return [self._odd(leg) for leg in legs]

    def _leg(self, side: str, flow: str, key: str, created: datetime, amount: int, shared: str | None) -> _Leg:
        chance = self._chance
        difference = chance.choices((0, chance.choice((40, -60, 90)), chance.choice((700, -900))), (0.86, 0.08, 0.06))[
            0
        ]
        asked = amount + (500 if chance.random() < 0.02 else 0)
        paid = amount + difference
        if chance.random() < 0.01:
            paid = amount * 100
        if flow == "payout":
            asked = paid
        utr = shared if chance.random() < 0.9 else self._reference()
        rrn = self._reference() if chance.random() < 0.1 and flow == "payin" else None
        path = chance.choice(PATHS[flow])
        return _Leg(side=side, flow=flow, key=key, created=created, path=path, asked=asked, paid=paid, utr=utr, rrn=rrn)

    def _odd(self, leg: _Leg) -> _Leg:
        """Now and then: no key, another's key, the other flow, another owner, another day, another currency."""
        chance = self._chance.random()
        changes: dict[str, object] = {}
        if chance < 0.01:
            changes["key"] = None
        elif chance < 0.02:
            changes["key"] = f"K{self._chance.randrange(self._orders):04d}"
        elif chance < 0.03:
            changes["is_routed"] = False
        elif chance < 0.04:
            changes["created"] = leg.created - SEPARATED
        elif chance < 0.05 and leg.flow == "payin":
            changes["currency"] = "EUR"
        fields = {name: getattr(leg, name) for name in leg.__slots__}
        return _Leg(**(fields | changes))  # type: ignore[arg-type]

    def _record(self, leg: _Leg, *, is_extra: bool) -> Iterator[Version]:
        number, updated, portion = next(self._records), leg.created, 0
        for version, status_class in enumerate(leg.path):
            updated += timedelta(seconds=self._chance.choice((3, 40, 400, 4_000)) if version else 0)
            updated = self._once(updated)
            money = status_class in "SRC"
            arrives = next((n for n, end in enumerate(self._portion_ends) if updated <= end), PORTIONS - 1)
            # Late, and not in order: an older version may come after a newer one.
            portion = min(PORTIONS - 1, arrives + self._chance.choice((0, 0, 0, 1, 2)))
            yield Version(
                world=self.number,
                record=number,
                side=leg.side,
                flow=leg.flow,
                is_routed=leg.is_routed,
                key=leg.key,
                created=leg.created,
                version=version,
                status_class=status_class,
                updated=updated,
                asked=leg.asked,
                paid=leg.paid if money else None,
                fee=250 if money else 0,
                currency=leg.currency,
                utr=leg.utr if money else None,
                rrn=leg.rrn if money else None,
                portion=portion,
                is_extra=is_extra,
            )

    def _reference(self) -> str:
        """Mostly a new one; sometimes one that another payment has too."""
        if self._references and self._chance.random() < 0.03:
            return self._chance.choice(self._references)
        self._references.append(f"{self._chance.randrange(10**9):09d}")
        return self._references[-1]

    def _amount(self) -> int:
        return self._chance.choice((10_000, 50_000, self._chance.randrange(10_000, 90_000)))

    def _moment(self) -> datetime:
        return START + LENGTH * self._chance.random()

    def _near(self, created: datetime) -> datetime:
        return self._once(
            created + timedelta(seconds=self._chance.choice((0, 2, 30, 300, 5_000)) + self._chance.random())
        )

    def _once(self, at: datetime) -> datetime:
        """The instant, moved by less than a second to microseconds of its own."""
        return at.replace(microsecond=next(self._instants) * 257 % 1_000_000)


def portion_ends() -> list[datetime]:
    """Clocks of the runs between which a world arrives in pieces; the last is long after everything."""
    return [START + LENGTH * 0.4, START + LENGTH * 0.7, START + LENGTH + timedelta(hours=1), settled_at()]


def settled_at() -> datetime:
    """When no grace, TTL or soft final is left in any telling."""
    return START + LENGTH + timedelta(days=60)
