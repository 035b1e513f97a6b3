"""R7: what opens, closes and reopens a break, with real models over a real database."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pipelines.breaks import actions
from pipelines.breaks.ledger import Break
from pipelines.breaks.verification import verify
from pipelines.core.errors import ModelError
from pipelines.core.postgres import connect
from pipelines.defs.watch.checks import LOOKS
from tests.integration.breaks.conftest import START, Orders


class Decisions:
    """What one person decides about the break of an order."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def act(self, action: Callable[..., Break], key: str, **said: Any) -> Break:
        """The action, by somebody who knows the newest event."""
        with connect(self._orders.warehouse.url, role="psp_operator", autocommit=True) as connection:
            return action(connection, **self._known(key), **said)

    def explain(self, key: str) -> None:
        """Accept the cause."""
        self.act(actions.explain, key, reason_code="other", text="we know")

    def match(self, key: str, other: str) -> None:
        """Both orders are one payment."""
        partner = self._orders.only(other)
        named = {"partner_break_id": partner["break_id"], "partner_expected_event_number": partner["last_event_number"]}
        self.act(actions.force_match, key, reason_code="same_payment", text="typed twice", **named)

    def _known(self, key: str) -> dict[str, Any]:
        found = self._orders.only(key)
        named = {"break_id": found["break_id"], "expected_event_number": found["last_event_number"]}
        return named | {"actor": "asha", "at": self._orders.now}


def test_breaks_open_when_comparable_and_close_by_what_arrives(orders: Orders) -> None:
    """In flight is no break; a side that comes late, a status that catches up, an amount that is corrected close it."""
    orders.vima("late", "success")
    orders.vima("lag", "in_process")
    orders.payshack("lag", "Success")
    orders.vima("amount", "success", 500)
    orders.payshack("amount", "Success", 499)
    orders.vima("reversed", "fail")
    orders.payshack("reversed", "Success")
    orders.run(5)
    assert {row["order_key"] for row in orders.breaks()} == {"amount", "reversed"}
    orders.run(30)
    assert {row["order_key"]: row["reason"] for row in orders.breaks()} == {
        "late": "missing_side",
        "lag": "status_lag",
        "amount": "underpaid",
        "reversed": "late_success",
    }
    late = orders.only("late")
    assert late["opened_at"] == START + timedelta(minutes=30)
    assert (late["state"], late["value_at_risk"], late["age_seconds"]) == ("open", 500, 0)
    orders.minute = 40
    orders.payshack("late", "Success")
    orders.vima("lag", "success")
    orders.payshack("amount", "Success", 500)
    orders.payshack("reversed", "Refunded")
    orders.run(41)
    for key, cause in (
        ("late", "late_arrival"),
        ("lag", "status_caught_up"),
        ("amount", "amount_corrected"),
        ("reversed", "net_zero"),
    ):
        closed = orders.only(key)
        assert (closed["state"], closed["close_cause"], closed["value_at_risk"]) == ("auto_resolved", cause, 0), key
        assert closed["lateness_seconds"] == 40 * 60
        assert closed["closed_at"] == START + timedelta(minutes=41)


def test_decisions_hold_until_new_data_contradict_them(orders: Orders) -> None:
    """Explained, forced, written off, excluded, reopened by hand, acknowledged: one order for what becomes of each."""
    for key in ("holds", "contradicted", "agrees", "reference", "test", "taken", "byhand"):
        orders.vima(key, "success")
        orders.payshack(key, "Failed")
    orders.vima("mine", "success")
    orders.payshack("yours", "Success")
    orders.vima("lost", "success")
    orders.run(30)
    decide = Decisions(orders)
    for key in ("holds", "contradicted", "agrees", "reference"):
        decide.explain(key)
    decide.act(actions.exclude_test, "test", text="our own phone")
    decide.act(actions.acknowledge, "taken")
    decide.match("mine", "yours")
    decide.act(actions.write_off, "lost", reason_code="goodwill", text="gone")
    assert sum(row["value_at_risk"] for row in orders.breaks()) == 1000
    orders.run(31)
    assert {row["state"] for row in orders.breaks()} == {
        *("explained", "excluded_test", "acknowledged", "force_matched", "written_off", "open")
    }

    orders.minute = 40
    orders.payshack("contradicted", "Tampered")
    orders.payshack("agrees", "Success")
    orders.payshack("reference", "Failed", utr="corrected")
    orders.payshack("test", "Tampered")
    orders.payshack("taken", "Tampered")
    orders.payshack("byhand", "Success")
    orders.payshack("mine", "Success", record="true")
    orders.payshack("lost", "Success")
    orders.run(41)
    outcomes = {row["order_key"]: (row["state"], row["decision"], row["close_cause"]) for row in orders.breaks()}
    assert outcomes == {
        "holds": ("explained", "explained", "other"),
        "contradicted": ("reopened", "explained", None),
        "agrees": ("auto_resolved", "explained", "status_caught_up"),
        "reference": ("reopened", "explained", None),
        "test": ("reopened", "test_excluded", None),
        "taken": ("acknowledged", None, None),
        "byhand": ("auto_resolved", None, "status_caught_up"),
        "mine": ("auto_resolved", "force_matched", "late_arrival"),
        "yours": ("reopened", "force_matched", None),
        "lost": ("auto_resolved", "written_off", "late_arrival"),
    }
    assert orders.story("contradicted")[-1] == ("reopened", "reopened", "data_changed")
    assert orders.story("taken")[-1] == ("changed", "acknowledged", None)
    assert orders.story("mine")[-2:] == [
        ("reopened", "reopened", "true_counterpart"),
        ("resolved", "auto_resolved", "late_arrival"),
    ]
    assert orders.story("yours")[-1] == ("reopened", "reopened", "forced_match_undone")
    linked = orders.warehouse.query(
        "select linked_event_number from marts.fct_break_events where action = 'reopened' and cause = 'data_changed'"
    )
    assert {row["linked_event_number"] for row in linked} == {2}

    decide.act(actions.reopen, "byhand", text="the provider says otherwise")
    orders.run(42)
    orders.run(43)
    held = orders.only("byhand")
    assert (held["state"], held["value_at_risk"]) == ("reopened", 0)
    orders.minute = 44
    orders.payshack("byhand", "Success", utr="another")
    orders.run(45)
    assert orders.only("byhand")["state"] == "auto_resolved"

    before = orders.breaks()
    orders.warehouse.rebuild(orders.now)
    assert [row | {"changed_xid": 0} for row in orders.breaks()] == [row | {"changed_xid": 0} for row in before]
    with connect(orders.warehouse.url, role="psp_operator", autocommit=True) as connection:
        assert verify(connection).findings == []


def test_time_alone_closes_nothing_and_names_are_of_orders_and_families(orders: Orders) -> None:
    """A waiting side that lapses, a missing side that comes with another amount, other records under one order."""
    orders.vima("waits", "user_input_required")
    orders.payshack("waits", "Failed", transactionType="UPI_COLLECT")
    orders.vima("twice", "success")
    orders.vima("again", "in_process", record="v1")
    orders.payshack("again", "Failed", record="p1")
    orders.payshack("extra", "Success", record="e1")
    orders.payshack("extra", "Success", record="e2")
    orders.vima("extra", "success")
    orders.vima("swaps", "user_input_required", record="first")
    orders.payshack("swaps", "Failed", transactionType="UPI_COLLECT")
    orders.minute = 10
    orders.vima("swaps", "user_input_required", record="second")
    orders.run(20)
    assert {orders.only(key)["severity"] for key in ("waits", "swaps")} == {"low"}
    extra = orders.only("extra")
    assert (extra["reason"], extra["severity"], extra["outcome"]) == ("duplicate_success", "critical", "missing_vima")
    orders.run(31)
    assert orders.only("swaps")["vima_transaction_id"] == "vima:second"
    lapsed = orders.only("waits")
    assert (lapsed["state"], lapsed["is_lapsed"], lapsed["outcome"]) == ("open", True, "matched")
    assert (lapsed["reason"], lapsed["value_at_risk"]) == ("status_lag", 0)
    orders.minute = 40
    orders.vima("waits", "fail")
    orders.payshack("twice", "Success", 499)
    orders.vima("again", "fail", record="v1")
    orders.run(41)
    swapped = orders.only("swaps")
    # The first record is the nearer one again, and has said nothing since it made the break.
    assert (swapped["vima_transaction_id"], swapped["outcome"]) == ("vima:first", "matched")
    assert (swapped["state"], swapped["is_lapsed"]) == ("open", True)
    assert orders.only("waits")["close_cause"] == "status_caught_up"
    twice = {row["reason_family"]: row for row in orders.breaks("twice")}
    assert (twice["presence"]["state"], twice["presence"]["close_cause"]) == ("auto_resolved", "late_arrival")
    assert (twice["amount"]["state"], twice["amount"]["value_at_risk"]) == ("open", 1)
    assert twice["amount"]["opened_at"] == orders.now
    orders.minute = 60
    orders.vima("again", "success", record="v2")
    orders.payshack("again", "Tampered", record="p2")
    orders.run(61)
    generations = [(row["generation"], row["state"]) for row in orders.breaks("again")]
    assert generations == [(1, "auto_resolved"), (2, "open")]
    assert len({row["break_id"].split("-")[0] for row in orders.breaks("again")}) == 1


DAY = 24 * 60


def test_evidence_is_what_was_said_of_states_amounts_and_references(orders: Orders) -> None:
    """What is news to decisions, forced matches and clocks, also over a release with another formula of evidence."""
    for key in ("amount", "refund", "provider", "said", "fee"):
        orders.vima(key, "success")
        orders.payshack(key, *("Success",) if key == "refund" else ("Failed",), spTxnId="one", refundAmount=100)
    # A pair by reference goes by Vima's key; what PayShack says comes under its own.
    orders.vima("pair", "success", utr="U1")
    orders.payshack("its own", "Success", 400, utr="U1")
    orders.vima("large", "success", 5000)
    for half in ("refunded", "reduced", "claimed", "known"):
        orders.vima(f"m {half}", "success", utr="U2" if half == "known" else None)
        orders.payshack(f"y {half}", "Success")
    orders.vima("m unknown", "success")
    orders.payshack("y unknown", "Success", utr="U3")
    orders.vima("claim", "success")
    for key, record in (("claim", "c1"), ("orphan", "c2"), (None, "c3")):
        orders.payshack(key, "Cb_Refunded", record=record)
    orders.vima("returned", "success", flow="out")
    orders.payshack("returned", "PENDING", out=True)
    orders.vima("word", "success")
    orders.payshack("word", "Success")
    orders.run(DAY + 30)
    decide = Decisions(orders)
    for key in ("amount", "refund", "provider", "said", "fee", "pair"):
        decide.explain(key)
    decide.act(actions.write_off, "large", reason_code="goodwill", text="gone")
    forced = ("refunded", "reduced", "claimed", "known", "unknown")
    for half in forced:
        decide.match(f"m {half}", f"y {half}")

    before = {row["break_id"]: (row["state"], row["proposal"], row["exposure"]) for row in orders.breaks()}
    assert before[orders.only("large")["break_id"]][1] == "write_off"
    note_by_the_formula_before(orders)
    orders.warehouse.rebuild(orders.now, "int_breaks__evaluated", "int_breaks__transitions")
    assert {row["break_id"]: (row["state"], row["proposal"], row["exposure"]) for row in orders.breaks()} == before
    noted = {row["order_key"] for row in orders.breaks() if row["evidence_hash"].startswith("2:")}
    assert noted == {row["order_key"] for row in orders.breaks()} - {"large"}

    orders.minute = DAY + 40
    said = {"spTxnId": "one", "refundAmount": 100}
    orders.payshack("amount", "Failed", 400, **said)
    orders.payshack("refund", "Success", **said | {"refundAmount": 900})
    orders.payshack("provider", "Failed", **said | {"spTxnId": "another"})
    orders.payshack("said", "Failed", **said, remarks="seen again")
    orders.payshack("fee", "Failed", **said, totalCommissionAmount=2)
    orders.payshack("y refunded", "Refunded")
    orders.payshack("y reduced", "Success", 400)
    orders.payshack("y claimed", "Cb_Refunded")
    orders.payshack("claim", "Cb_Refunded", record="c1", remarks="seen again")
    orders.payshack("returned", "SUCCESS", out=True)
    orders.payshack("word", "Reversed by bank")
    # Told late, and within reach of their counterparts.
    orders.minute = 20
    orders.payshack("came", "Success", record="true1", utr="U2")
    orders.vima("came too", "success", record="true2", utr="U3")
    orders.run(DAY + 41)
    states = {key: orders.only(key)["state"] for key in ("amount", "refund", "provider", "said", "fee")}
    reopened, explained = ("amount", "refund", "provider"), ("said", "fee")
    assert states == dict.fromkeys(reopened, "reopened") | dict.fromkeys(explained, "explained")
    grown = orders.only("refund")
    assert (grown["severity"], grown["exposure"]) == ("critical", 900)
    undone, data = ("reopened", "reopened", "forced_match_undone"), ("reopened", "reopened", "data_changed")
    true = [("reopened", "reopened", "true_counterpart"), ("resolved", "auto_resolved", "late_arrival")]
    ends = {half: (orders.story(f"m {half}")[3:], orders.story(f"y {half}")[3:]) for half in forced}
    assert ends == {
        "refunded": ([undone], [data, ("resolved", "auto_resolved", "net_zero")]),
        "reduced": ([undone], [data]),
        "claimed": ([undone], [data]),
        "known": (true, [undone]),
        "unknown": ([undone], true),
    }
    claims = {"c1": 0, "c2": 0, "c3": 0, "py claimed": DAY + 40}
    assert minutes_of_claims(orders) == claims
    assert orders.only("returned")["close_cause"] == "status_caught_up"
    # The success stands (R12.10) and nothing breaks; the word after it is told to those who own the data.
    assert orders.breaks("word") == []
    orders.warehouse.changes(orders.now, "fct_transaction_versions")
    assert unknown_words(orders, after=timedelta(days=6)) == {"payshack status Reversed by bank": 1}
    assert unknown_words(orders, after=timedelta(days=9)) == {}

    orders.minute = DAY + 50
    orders.payshack("returned", "returned", out=True)
    orders.payshack("its own", "Success", 400, utr="U1", spTxnId="another")
    orders.payshack("orphan", "Cb_Refunded", record="c2", remarks="read late", updated=-30)
    orders.run(2 * DAY + 51)
    assert orders.only("pair")["state"] == "reopened"
    assert minutes_of_claims(orders) == claims | {"c2": -30}
    assert orders.story("returned")[-1] == ("reopened", "reopened", "data_changed")
    assert orders.only("large")["proposal"] == "write_off"


def note_by_the_formula_before(orders: Orders) -> None:
    """Every event as a release would have left it that knew the legs' evidence only, and less of it."""
    orders.warehouse.rebuild(orders.now, "int_breaks__evaluated")
    orders.warehouse.query(
        "alter table breaks.events disable trigger user;"
        "update breaks.events as event set evidence_hash = evaluated.former_evidence_hash"
        " from breaks.state, intermediate.int_breaks__evaluated as evaluated"
        " where event.break_id = state.break_id and state.reconciliation_id = evaluated.reconciliation_id"
        " and event.evidence_hash is not null;"
        "alter table breaks.events enable trigger user;"
        "delete from breaks.state; insert into breaks.state select * from breaks.folded"
    )


def minutes_of_claims(orders: Orders) -> dict[str, float]:
    """From when the dispute clock of a PayShack record runs."""
    found = [row for row in orders.breaks() if row["dispute_due_at"]]
    started = {row["payshack_transaction_id"]: row["dispute_due_at"] - START - timedelta(days=45) for row in found}
    return {name.rsplit(":", 1)[1]: at.total_seconds() / 60 for name, at in started.items()}


def unknown_words(orders: Orders, *, after: timedelta) -> dict[str, int]:
    """What the look at unmapped words tells the owners of the data, so long after the present minute."""
    look = next(look for key, (_, look) in LOOKS.items() if key.name == "words_are_known")
    settings = orders.warehouse.make_settings(
        PSP_DATABASE_URL=orders.warehouse.url, PSP_NOW=(orders.now + after).isoformat()
    )
    unknown: dict[str, int] = look(settings)["metadata"]["unknown"]
    return unknown


def test_a_run_that_breaks_off_loses_nothing_and_doubles_nothing(orders: Orders) -> None:
    """The events of a run and what it remembers of the models are one transaction."""
    orders.payshack("a", "Success")
    orders.run(30)
    orders.vima("a", "success", 400)
    orders.warehouse.query(
        "create function breaks.cut() returns trigger language plpgsql as $$ begin raise 'cut off'; end $$;"
        "create trigger cut before insert on breaks.events for each row when (new.action = 'opened')"
        " execute function breaks.cut()"
    )
    with pytest.raises(ModelError, match="int_breaks__transitions"):
        orders.run(31)
    assert [row["state"] for row in orders.breaks("a")] == ["open"]
    orders.warehouse.query("drop trigger cut on breaks.events")
    orders.run(32)
    orders.run(33)
    assert [(row["reason_family"], row["state"]) for row in orders.breaks("a")] == [
        ("presence", "auto_resolved"),
        ("amount", "open"),
    ]
    assert len(orders.story("a")) == 3
    assert orders.warehouse.query("select count(*) as n from breaks.wanted_events") == [{"n": 0}]


def test_decisions_are_lines_of_the_bridge_and_no_longer_at_risk(orders: Orders) -> None:
    """Each rupee under the decision while it stands, under the judgement's own cause before and after; residual 0."""
    reports = ("+rpt_bridge_daily", "+rpt_reconciliation_daily")

    def lines(minute: float) -> dict[str, int]:
        orders.run(minute)
        orders.warehouse.changes(orders.now, *reports)
        found = orders.warehouse.query("select cause, amount from marts.rpt_bridge_daily where amount <> 0")
        return {row["cause"]: int(row["amount"]) for row in found}

    for key, amount in (("explained", 500), ("lost", 70), ("mine", 30)):
        orders.vima(key, "success", amount)
    orders.payshack("yours", "Success", 30)
    orders.payshack("test", "Success", 9)
    judged = {"missing_payshack": 600, "missing_vima": -39, "vima_net": 600, "payshack_net": 39}
    assert lines(30) == judged
    decide = Decisions(orders)
    decide.explain("explained")
    decide.act(actions.write_off, "lost", reason_code="goodwill", text="gone")
    decide.match("mine", "yours")
    decide.act(actions.exclude_test, "test", text="our own phone")
    # Both halves of a forced match are of one day here, and are nothing together.
    decided = {"explained": 500, "written_off": 70, "excluded_test": -9, "vima_net": 600, "payshack_net": 39}
    assert lines(31) == decided
    assert orders.warehouse.query("select value_at_risk as v from marts.rpt_reconciliation_daily") == [{"v": 0}]
    orders.payshack("explained", "Failed")
    reopened = decided | {"credited_without_money": 500}
    del reopened["explained"]
    assert lines(32) == reopened
    kept = {name: rows for name, rows in orders.warehouse.marts().items() if f"+{name}" in reports}
    orders.warehouse.rebuild(orders.now, "rpt_bridge_daily", "rpt_reconciliation_daily")
    rebuilt = orders.warehouse.marts()
    assert kept == {name: rebuilt[name] for name in kept}
