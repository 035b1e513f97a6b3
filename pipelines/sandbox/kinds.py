"""What may happen to an order: which records it leaves at the two providers and how each changes in time.

A kind has slots, one per record. A slot has a path: the status classes that the record goes through (domain R2), each
after a delay drawn for the case. Kinds cover every cell of R2 that the wire can express, every kind of R5, the amount
rules of R4 and the quirks of both wires. Most orders are of the frequent kinds; the others take turns, so that a world
of some thousand orders holds each of them several times.
"""

from dataclasses import dataclass, replace

MINUTE, HOUR, DAY = 60, 3600, 86400

Delay = tuple[str, float, float]
"""A drawn number of seconds: stream of the draw, least, greatest. Slots that share a stream share the draw."""

SENT: Delay = ("sent", 1, 4)
FINAL: Delay = ("final", 20, 190)
CALLBACK: Delay = ("callback", 6, 16)
RETRY: Delay = ("retry", 220, 260)
SECOND_RETRY: Delay = ("second_retry", 460, 500)
REFUND: Delay = ("refund", 2 * HOUR, 10 * DAY)
CLAIM: Delay = ("claim", 1 * DAY, 20 * DAY)
LATE: Delay = ("late", 1 * HOUR, 60 * HOUR)
APART: Delay = ("apart", 26 * HOUR, 30 * HOUR)
CATCH_UP: Delay = ("catch_up", 20 * MINUTE, 90 * MINUTE)


@dataclass(frozen=True, slots=True)
class Step:
    """A status class, reached the sum of `delays` after the record's creation."""

    status_class: str
    delays: tuple[Delay, ...] = ()


Path = tuple[Step, ...]


# By identity: there is one of each, and texts are kept by it.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """One record of an order.

    `key` counts the order's match keys from 0, None is no key. `owner` is the Vima project or the PayShack client.
    `amount` names how the amount differs from the order's, `traits` what is odd about the record on the wire.
    """

    source: str
    path: Path
    flow: str = "payin"
    delays: tuple[Delay, ...] = ()
    key: int | None = 0
    owner: str = ""
    amount: str = "exact"
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A story; `weight` counts among the frequent kinds, 0 takes its turn among the rare ones."""

    name: str
    slots: tuple[Slot, ...]
    weight: float = 0.0


VIMA_PATHS: dict[str, Path] = {
    "S": (Step("P"), Step("W", (("shown", 1, 3),)), Step("S", (FINAL, CALLBACK))),
    "F": (Step("P"), Step("W", (("shown", 1, 3),)), Step("F", (FINAL, CALLBACK))),
    "P": (Step("P"), Step("P", (("shown", 1, 3),))),
    "W": (Step("P"), Step("W", (("shown", 1, 3),))),
    "U": (Step("P"), Step("W", (("shown", 1, 3),)), Step("U", (FINAL, CALLBACK))),
}
PAYSHACK_PATHS: dict[str, Path] = {
    "S": (Step("P"), Step("S", (FINAL,))),
    "F": (Step("P"), Step("F", (FINAL,))),
    "P": (Step("P"), Step("P", (("queued", 5, 20),))),
    "W": (Step("P"), Step("W", (("opened", 2, 6),))),
    "R": (Step("P"), Step("S", (FINAL,)), Step("R", (FINAL, REFUND))),
    "C": (Step("P"), Step("S", (FINAL,)), Step("C", (FINAL, CLAIM))),
    "T": (Step("P"), Step("T", (FINAL,))),
    "U": (Step("P"), Step("U", (FINAL,))),
}
# A pay-out has no customer who could be waited for, and no claim.
PAYOUT_VIMA_PATHS: dict[str, Path] = {
    name: tuple(step for step in path if name == "W" or step.status_class != "W") for name, path in VIMA_PATHS.items()
}
PAYOUT_PAYSHACK_PATHS = {name: PAYSHACK_PATHS[name] for name in "SFPRU"}


def vima(path: Path | str, **changes: object) -> Slot:
    """A Vima operation of project 91game."""
    steps = VIMA_PATHS[path] if isinstance(path, str) else path
    return replace(Slot(source="vima", path=steps, owner="91game"), **changes)  # type: ignore[arg-type]


def payshack(path: Path | str, **changes: object) -> Slot:
    """A PayShack transaction of 91game's client, a moment after Vima's."""
    steps = PAYSHACK_PATHS[path] if isinstance(path, str) else path
    slot = Slot(source="payshack", path=steps, owner="91G_TECH_PVT_LTD", delays=(SENT,))
    return replace(slot, **changes)  # type: ignore[arg-type]


def _traits(*names: str) -> frozenset[str]:
    return frozenset(names)


def _cells() -> list[Kind]:
    """One kind per cell of R2 that the two wires can express. Vima has no word for refunds, claims and tampering."""
    kinds = []
    for flow, vimas, payshacks in (
        ("payin", VIMA_PATHS, PAYSHACK_PATHS),
        ("payout", PAYOUT_VIMA_PATHS, PAYOUT_PAYSHACK_PATHS),
    ):
        for ours, our_path in (*vimas.items(), ("none", ())):
            for theirs, their_path in (*payshacks.items(), ("none", ())):
                slots = []
                if our_path:
                    slots.append(vima(our_path, flow=flow))
                if their_path:
                    slots.append(payshack(their_path, flow=flow))
                if slots:
                    kinds.append(Kind(name=f"{flow} {ours} x {theirs}", slots=tuple(slots)))
    return kinds


# Vima learns of the outcome after all attempts; meanwhile the customer is still being waited for.
AFTER_RETRIES = (Step("P"), Step("W", (("shown", 1, 3),)), Step("S", (("second_retry", 460, 500), FINAL, CALLBACK)))
FAILED_AFTER_RETRY = (Step("P"), Step("W", (("shown", 1, 3),)), Step("F", (RETRY, FINAL, CALLBACK)))
BORN = {name: (Step(name),) for name in ("S", "F")}

AMOUNTS = ("under", "over", "fee", "hundredfold", "hundredth", "paid_missing", "asked_more", "zero")

RARE: tuple[Kind, ...] = (
    *_cells(),
    *(Kind(name=f"amount {name}", slots=(vima("S"), payshack("S", amount=name))) for name in AMOUNTS),
    Kind(name="amount other currency", slots=(vima("S", traits=_traits("euro")), payshack("S"))),
    Kind(
        name="amount under on pay-out",
        slots=(vima(PAYOUT_VIMA_PATHS["S"], flow="payout"), payshack("S", flow="payout", amount="under")),
    ),
    Kind(
        name="late success, then Vima follows",
        slots=(
            vima((*VIMA_PATHS["F"], Step("S", (FINAL, LATE, CATCH_UP)))),
            payshack((*PAYSHACK_PATHS["F"], Step("S", (FINAL, LATE)))),
        ),
    ),
    Kind(name="late success", slots=(vima("F"), payshack((*PAYSHACK_PATHS["F"], Step("S", (FINAL, LATE)))))),
    Kind(
        name="attempts at PayShack, none paid",
        slots=(vima(FAILED_AFTER_RETRY), payshack("F"), payshack("F", delays=(RETRY,))),
    ),
    Kind(
        name="attempts at PayShack, the last one waits",
        slots=(vima("W"), payshack("F"), payshack("W", delays=(RETRY,))),
    ),
    Kind(name="attempts at Vima", slots=(vima("F"), vima("S", delays=(RETRY,)), payshack("S", delays=(RETRY, SENT)))),
    Kind(
        name="duplicate success at PayShack",
        slots=(vima("S"), payshack("S"), payshack("S", delays=(RETRY,))),
    ),
    Kind(
        name="duplicate success at PayShack, out",
        slots=(
            vima(PAYOUT_VIMA_PATHS["S"], flow="payout"),
            payshack("S", flow="payout"),
            payshack("S", flow="payout", delays=(RETRY,)),
        ),
    ),
    Kind(name="duplicate success at Vima", slots=(vima("S"), vima("S", delays=(RETRY,)), payshack("S"))),
    Kind(
        name="two successes on both sides",
        slots=(vima("S"), vima("S", delays=(RETRY,)), payshack("S"), payshack("S", delays=(RETRY, SENT))),
    ),
    Kind(
        name="two successes at Vima, PayShack failed",
        slots=(vima("S"), vima("S", delays=(RETRY,)), payshack("F")),
    ),
    Kind(
        name="one reference on two payments",
        slots=(
            vima("S"),
            payshack("S"),
            vima("S", key=1, delays=(RETRY,)),
            payshack("S", key=1, delays=(RETRY, SENT), traits=_traits("first_utr")),
        ),
    ),
    Kind(name="key of another project", slots=(vima("S"), payshack("S", owner="IG Indigate P_Out"))),
    Kind(name="key of an unreconciled project", slots=(vima("S"), payshack("S", owner="MNCL_M5_Pvt_Ltd"))),
    Kind(name="key of the other flow", slots=(vima("S"), payshack("S", flow="payout"))),
    Kind(
        name="one key, in and out",
        slots=(
            vima("S"),
            payshack("S"),
            vima(PAYOUT_VIMA_PATHS["S"], flow="payout", delays=(RETRY,)),
            payshack("S", flow="payout", delays=(RETRY, SENT)),
        ),
    ),
    Kind(name="key more than a day apart", slots=(vima("S"), payshack("S", delays=(APART,)))),
    Kind(name="no key at Vima", slots=(vima("S", key=None),)),
    Kind(name="no key at PayShack", slots=(payshack("S", key=None),)),
    Kind(name="key in c_id alone", slots=(vima("S", traits=_traits("c_id_only")), payshack("S"))),
    Kind(name="no method", slots=(vima("S", traits=_traits("no_method")), payshack("S"))),
    Kind(name="no creation time", slots=(vima("S", traits=_traits("no_created")), payshack("S"))),
    Kind(name="no status field", slots=(vima("U", traits=_traits("no_status")), payshack("S"))),
    Kind(name="Vima contradicts itself", slots=(vima("U", traits=_traits("contradiction")), payshack("S"))),
    # Born final: an earlier readable version would be the current one for who saw it, and not for who did not.
    Kind(
        name="Vima amount not exact",
        slots=(vima(BORN["S"], traits=_traits("inexact_amount")), payshack("S")),
    ),
    Kind(name="Vima success without amount", slots=(vima(BORN["S"], traits=_traits("no_amount")), payshack("S"))),
    Kind(name="Vima record without id", slots=(vima(BORN["F"], traits=_traits("no_id")),)),
    Kind(name="PayShack amount broken", slots=(vima("S"), payshack(BORN["S"], traits=_traits("broken_amount")))),
    Kind(name="PayShack record without id", slots=(vima("F"), payshack(BORN["F"], traits=_traits("no_id")))),
    Kind(name="PayShack client nobody knows", slots=(payshack("S", owner="NEW_CLIENT_PVT_LTD"),)),
)

FREQUENT: tuple[Kind, ...] = (
    Kind(name="paid", slots=(vima("S"), payshack("S")), weight=50),
    Kind(name="declined", slots=(vima("F"), payshack("F")), weight=16),
    Kind(name="abandoned", slots=(vima("W"), payshack("W")), weight=7),
    Kind(name="declined before PayShack", slots=(vima("F"),), weight=2),
    Kind(
        name="paid at the third attempt",
        slots=(
            vima(AFTER_RETRIES),
            payshack("F"),
            payshack("F", delays=(RETRY,)),
            payshack("S", delays=(SECOND_RETRY,)),
        ),
        weight=3,
    ),
    Kind(
        name="paid out",
        slots=(vima(PAYOUT_VIMA_PATHS["S"], flow="payout"), payshack("S", flow="payout")),
        weight=5,
    ),
    Kind(
        name="paid out for Indigate",
        slots=(
            vima(PAYOUT_VIMA_PATHS["S"], flow="payout", owner="indigate_payout"),
            payshack("S", flow="payout", owner="IG Indigate P_Out"),
        ),
        weight=4,
    ),
    Kind(
        name="pay-out failed",
        slots=(vima(PAYOUT_VIMA_PATHS["F"], flow="payout"), payshack("F", flow="payout")),
        weight=1.5,
    ),
    Kind(name="monetix paid", slots=(vima("S", owner="monetix"),), weight=3),
    Kind(name="monetix declined", slots=(vima("F", owner="monetix"),), weight=1.5),
    Kind(name="caroussel paid", slots=(vima("S", owner="caroussel"),), weight=2),
    Kind(name="caroussel abandoned", slots=(vima("W", owner="caroussel"),), weight=1),
    Kind(name="mncl_m5 paid", slots=(payshack("S", owner="MNCL_M5_Pvt_Ltd"),), weight=2),
    Kind(name="mncl_three declined", slots=(payshack("F", owner="Mn CL THREE_PVT_LTD"),), weight=1),
)

KINDS: tuple[Kind, ...] = (*FREQUENT, *RARE)
