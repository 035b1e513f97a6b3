"""The marts of bank and balances follow what changed: whatever comes in which order, they end where a rebuild would.

Forty projects of their own, each with an account, six days and few amounts and references, so that much is ambiguous:
payments, corrections, refunds and failures arrive late, statements and readings of balances in any order.
People decide in between.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.breaks import actions
from pipelines.breaks.verification import verify
from pipelines.core.postgres import connect
from tests.integration.dbt.conftest import Rows, Warehouse
from tests.integration.dbt.worlds import LogRow, insert_log, insert_reading

START = datetime(2026, 1, 10, 4, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
PROJECTS, DAYS, PAYMENTS, LINES, READINGS, PORTIONS = 40, 6, 20, 14, 14, 3
AMOUNTS = (10, 20, 30, 50)
READ = ("+rpt_bank_bridge_daily", "+rpt_balance_identity_daily")
# Of reconciliation nothing changes for the bank, and an empty one is judged in no time.
CHANGED = (
    "+fct_bank_settlements",
    "+fct_bank_lines",
    "path:models/intermediate/breaks",
    "rpt_bank_bridge_daily",
    "+rpt_balance_identity_daily",
)
CHANGES = ("run", "--exclude", "config.materialized:view")
BANK = ("fct_bank_dues", "fct_bank_reference_fits", "fct_bank_batch_fits", "fct_bank_lines", "fct_bank_settlements")

ACCOUNTS = """
insert into reference.bank_accounts (account, bank_label, provider, project, cycle_days, is_net_of_fees, note)
select 'A' || number, 'bank', 'payshack', 'C' || number, number %% 3, number %% 2 = 0, 'invented'
from generate_series(0, %(projects)s - 1) as number
"""
STATEMENT = """
insert into raw.bank_statements (
    file_hash, statement_number, file_name, file_format, account, currency, statement_name, first_day, last_day,
    line_count, observed_at
) values (%(hash)s, 1, 'f', 'csv', %(account)s, 'INR', 's', %(day)s, %(day)s, 0, now())
"""
LINE = """
insert into raw.bank_lines (
    line_key, line_hash, occurrence, account, currency, value_date, booked_on, amount, reference, narration, file_hash,
    statement_number, line_number, observed_at
) values (
    %(key)s, %(key)s, 1, %(account)s, 'INR', %(day)s, %(day)s, %(amount)s, %(reference)s, 'x', %(hash)s, 1, 1, now()
)
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A client's balance, as it was read then."""

    client: str
    balance: int
    at: datetime


Told = LogRow | Reading | list[tuple[str, dict[str, Any]]]


ITEMS = """
select 'movement:' || movement_id as item from marts.fct_bank_settlements where outcome = any(%(outcomes)s)
union all
select 'bank_line:' || bank_line_id from marts.fct_bank_lines where outcome = any(%(outcomes)s)
"""
SAID = {"missing": ["missing_bank", "missing_provider"], "waits": ["ambiguous", "not_due"]}


class Arrivals:
    """Everything that will be told of all projects, in a random order."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - invented data, not a secret
        self._told: list[Told] = []
        for project in range(PROJECTS):
            self._told += [row for number in range(PAYMENTS) for row in self._payment(project, number)]
            self._told += self._statements(project)
            self._told += [self._reading(project) for _ in range(READINGS)]
        self._chance.shuffle(self._told)

    def portions(self) -> Iterator[list[Told]]:
        """Pieces of different size."""
        size = len(self._told) // PORTIONS
        for number in range(PORTIONS):
            yield self._told[number * size :] if number == PORTIONS - 1 else self._told[number * size :][:size]

    def _reading(self, project: int) -> Reading:
        at = START + timedelta(hours=self._chance.randrange(24 * (DAYS + 2)))
        return Reading(f"C{project}", self._chance.choice((100, 100, 100, 150)), at)

    def _reference(self, project: int) -> str:
        return f"{project:06d}{self._chance.randrange(PAYMENTS):06d}"

    def _payment(self, project: int, number: int) -> Iterator[LogRow]:
        chance = self._chance
        at = START + timedelta(hours=chance.randrange(24 * DAYS))
        name = f"T{project}-{number}"
        said = {"clientName": f"C{project}", "txnStatus": "Success", "utr": self._reference(project), "rrn": None}
        said |= {"amount": (amount := chance.choice(AMOUNTS)), "paidAmount": amount, "totalCommissionAmount": 1}
        changes: list[dict[str, Any]] = [{}]
        if chance.random() < 0.4:
            other = chance.choice(AMOUNTS)
            ways: tuple[dict[str, Any], ...] = (
                {"txnStatus": "Refunded"},
                {"amount": other, "paidAmount": other},
                {"totalCommissionAmount": 2},
                {"utr": self._reference(project)},
                {"clientName": f"C{(project + 1) % PROJECTS}"},
            )
            changes.append(chance.choice(ways))
        for version, change in enumerate(changes):
            updated = at + timedelta(hours=version * 20)
            values = {
                "record_id": name,
                "content_hash": f"{name}-{version}",
                "order_key": name,
                "source_order": version,
                "source_created_at": at,
                "source_updated_at": updated,
                "payload": json.dumps(said | change),
                "observed_at": updated,
                "load_mode": "feed",
                "load_scope": "bank",
                "load_page": 1,
                "_dlt_load_id": "bank",
            }
            yield LogRow(table="payshack_payins", observed_at=updated, values=values)

    def _statements(self, project: int) -> list[list[tuple[str, dict[str, Any]]]]:
        days = [(START + timedelta(days=day)).date() for day in range(DAYS + 2)]
        found = {day: [(STATEMENT, self._named(project, day))] for day in days}
        for number in range(LINES):
            day = self._chance.choice(days)
            line = {"key": f"{project}-{number}", "reference": None, "amount": self._batch()}
            if self._chance.random() < 0.5:
                amount = self._chance.choice(AMOUNTS) - self._chance.choice((0, 1))
                line |= {"reference": self._reference(project), "amount": amount * self._chance.choice((1, 1, 1, -1))}
            found[day].append((LINE, self._named(project, day) | line))
        return list(found.values())

    def _named(self, project: int, day: Any) -> dict[str, Any]:
        return {"account": f"A{project}", "day": day, "hash": f"{project}-{day}"}

    def _batch(self) -> int:
        """A sum that one to three payments of a day may have, with their fees kept or not."""
        return sum(
            self._chance.choice(AMOUNTS) - self._chance.choice((0, 1)) for _ in range(self._chance.choice((1, 2, 3)))
        )


def bank(warehouse: Warehouse) -> dict[str, Rows]:
    found = warehouse.marts()
    return {name: found[name] for name in (*BANK, "rpt_bank_bridge_daily", "rpt_balance_identity_daily")}


def run(warehouse: Warehouse, *arguments: str, select: tuple[str, ...] = READ) -> None:
    """What the bank's marts are made of, and nothing else."""
    outcome = warehouse.invoke(NOW, [*arguments, "--select", *select])
    assert outcome.success, outcome.exception or [
        result.message for result in outcome.result if result.status not in ("success", "pass")
    ]


def decide(warehouse: Warehouse) -> None:
    """Of every third open break of the bank somebody accepts the cause."""
    found = warehouse.query(
        "select break_id, last_event_number as number from marts.fct_bank_breaks where is_open order by break_id"
    )
    with connect(warehouse.url, role="psp_operator", autocommit=True) as connection:
        for row in found[::3]:
            said: dict[str, Any] = {"reason_code": "other", "text": "known", "actor": "asha", "at": NOW}
            actions.explain(connection, row["break_id"], expected_event_number=row["number"], **said)


def test_what_is_told_in_pieces_ends_where_a_rebuild_does(dbt_warehouse: Warehouse) -> None:
    warehouse = dbt_warehouse
    built = ("build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    run(warehouse, *built, select=(*READ, "break_explanations"))
    warehouse.query(ACCOUNTS, {"projects": PROJECTS})
    for portion in Arrivals(1).portions():
        with connect(warehouse.url) as connection:
            insert_log(connection, [item for item in portion if isinstance(item, LogRow)])
            for read in (item for item in portion if isinstance(item, Reading)):
                insert_reading(connection, read.client, read.client, read.balance, read.at)
            for item in portion:
                for statement, values in item if isinstance(item, list) else ():
                    connection.execute(statement.encode(), values)
        run(warehouse, *CHANGES, select=CHANGED)
        decide(warehouse)
    run(warehouse, *CHANGES, select=CHANGED)
    kept = bank(warehouse)
    events = warehouse.query("select count(*) as n from breaks.events")
    warehouse.rebuild(NOW, *READ)
    for name, rows in bank(warehouse).items():
        told, expected = set(map(repr, kept[name])), set(map(repr, rows))
        assert (told - expected, expected - told) == (set(), set()), name
    outcomes = warehouse.query("select outcome, match_pass, count(*) as n from marts.fct_bank_lines group by 1, 2")
    found = {(row["outcome"], row["match_pass"]) for row in outcomes}
    assert found >= {(outcome, way) for outcome in ("matched", "ambiguous") for way in ("reference", "batch")}
    assert found >= {("missing_provider", None), ("other_debit", None)}
    residuals = warehouse.query("select distinct amount from marts.rpt_bank_bridge_daily where cause = 'residual'")
    assert [row["amount"] for row in residuals] == [0]
    filled = "select count(*) filter (where {0} <> 0) as n from marts.rpt_balance_identity_daily"
    for figure in ("payins", "fees", "returned", "settlements", "residual"):
        assert warehouse.query(filled.format(figure))[0]["n"] > 20, figure
    # Whatever is missing has its break, what can not be told keeps it, a rebuild adds nothing, and decisions fall.
    standing = warehouse.query("select * from marts.fct_bank_breaks where state <> 'auto_resolved'")
    items = {state: [row["item"] for row in warehouse.query(ITEMS, {"outcomes": said})] for state, said in SAID.items()}
    found_items = sorted(row["reconciliation_id"] for row in standing)
    assert len(items["missing"]) > 200
    assert set(items["missing"]) <= set(found_items) <= {*items["missing"], *items["waits"]}
    assert len(found_items) == len(set(found_items))
    at_risk = {row["reconciliation_id"] for row in standing if row["value_at_risk"]}
    assert at_risk == set(items["missing"]) - {row["reconciliation_id"] for row in standing if not row["is_open"]}
    assert warehouse.query("select count(*) as n from breaks.events") == events
    causes = warehouse.query("select distinct cause from breaks.events where actor = 'system'")
    assert {row["cause"] for row in causes} >= {"late_arrival", "data_changed"}
    assert "explained" in {row["cause"] for row in warehouse.query("select cause from marts.rpt_bank_bridge_daily")}
    with connect(warehouse.url, role="psp_operator", autocommit=True) as connection:
        assert verify(connection).findings == []
    # And a run without news writes nothing.
    before = warehouse.query("select max(changed_xid) as xid from intermediate.left_behind where model ~ 'bank'")
    run(warehouse, *CHANGES, select=CHANGED)
    after = warehouse.query("select max(changed_xid) as xid from intermediate.left_behind where model ~ 'bank'")
    assert after == before
