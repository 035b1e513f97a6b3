"""Small invented worlds for the models: few keys, few references, many odd records; everything meets everything.

    seed -> records with their versions -> LogRow / QuarantineRow, each with the instant at which it was read

Not the sandbox's world: that one is true to life, this one is made to find what incremental models forget. Keys,
owners, flows and creation times change between versions, statuses fall back, references repeat, times are missing.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

PROJECTS = (*["91game"] * 12, "indigate_payout", "monetix", None)
CLIENTS = (*["91G_TECH_PVT_LTD"] * 12, "IG Indigate P_Out", "MNCL_M5_Pvt_Ltd", "New Client")
METHODS = (*["payment.in"] * 10, "payment.out", None)
TABLES = (*["vima_operations"] * 6, *["payshack_payins"] * 5, "payshack_payouts")
VIMA_WORDS = (*["success"] * 6, "fail", "in_process", "user_input_required", "user_input_required", "odd")
PAYIN_WORDS = (
    *(*["Success"] * 8, "SUCCESS", "Failed", "INITIATED", "Pending", "Incomplete", "Incomplete"),
    *("Refunded", "Cb_Refunded", "Tampered", "Odd"),
)
PAYOUT_WORDS = (*["SUCCESS"] * 4, "FAILED", "PENDING", "Returned", "odd")
TYPES = ("UPI_INTENT", "UPI_COLLECT", "IMPS", "NEFT", None)
PAISE = (*[0] * 4, 50, -50, 100, -100, 250)
CURRENCIES = (*["INR"] * 5, "EUR", "XXX")
REFERENCES = 300
RETURNED = ("refunded", "returned")

LOG_COLUMNS = (
    *("record_id", "content_hash", "order_key", "source_order", "source_created_at", "source_updated_at", "payload"),
    *("observed_at", "load_mode", "load_scope", "load_page", "_dlt_load_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One version of a record, as the loader would commit it to `table`."""

    table: str
    observed_at: datetime
    values: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """A record that broke the contract, and when it was played again, if ever."""

    table: str
    order_key: str
    observed_at: datetime
    replayed_at: datetime | None


class World:
    """All that the sources will ever have said, by seed."""

    def __init__(self, seed: int, *, start: datetime, length: timedelta, keys: int = 70, records: int = 330) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - invented data, not a secret
        self._start, self._length = start, length
        self._keys: list[str | None] = [None, *(f"K{number}" for number in range(keys))]
        # Orders of one key happen near each other, mostly.
        self._key_times = {key: self._chance.random() for key in self._keys}
        self.log: list[LogRow] = []
        for number in range(records):
            key = self._chance.choice(self._keys)
            self.log += self._record(number, key, self._created(key))
        self.quarantine = [self._quarantined() for _ in range(records // 12)]

    def just_made(self, now: datetime, portion: int) -> list[LogRow]:
        """What was made a moment before `now` and read at once: graces and waiting that end before the next portion."""
        rows = []
        for place in range(10):
            key = f"P{portion}-{place // 3}"
            created = now - timedelta(minutes=self._chance.choice((1, 8, 12, 20, 28)))
            row = self._record(10_000 + portion * 100 + place, key, created)[0]
            fresh = {"observed_at": now, "source_created_at": created, "source_updated_at": created}
            rows.append(replace(row, values=row.values | fresh, observed_at=now))
        return rows

    def _record(self, number: int, key: str | None, created: datetime) -> list[LogRow]:
        chance = self._chance
        table = chance.choice(TABLES)
        updated = created
        rows = []
        for version in range(chance.choice((1, 1, 2, 2, 3))):
            if version and chance.random() < 0.03:
                key, created = chance.choice(self._keys), self._created(key)
            updated += timedelta(seconds=chance.choice((0, 20, 400, 4_000, 40_000)))
            observed = max(created, updated) + timedelta(seconds=chance.choice((5, 60, 900, 20_000)))
            make = self._operation if table == "vima_operations" else self._transaction
            payload = make(number, key, table)
            rows.append(self._row(table, number, version, key, created, updated, observed, payload))
        return rows

    def _created(self, key: str | None) -> datetime:
        known = self._chance.random() < 0.9 and key in self._key_times
        share = self._key_times[key] if known else self._chance.random()
        near = timedelta(seconds=self._chance.choice((0, 3, 50, 200, 5_000, 80_000)))
        return self._start + self._length * share + near

    def _row(
        self,
        table: str,
        number: int,
        version: int,
        key: str | None,
        created: datetime,
        updated: datetime,
        observed: datetime,
        payload: dict[str, Any],
    ) -> LogRow:
        known = self._chance.random() > 0.05
        values = (
            *(f"{number}", f"{number}-{version}", key, number * 10 + version),
            *(created if known else None, updated if known or self._chance.random() < 0.5 else None),
            *(json.dumps(payload), observed, "feed", "world", 1, "world"),
        )
        return LogRow(table=table, observed_at=observed, values=dict(zip(LOG_COLUMNS, values, strict=True)))

    def _amount(self, key: str | None) -> float:
        """What all records of a key are about, with small and large differences."""
        return (10_000 + len(key or "") * 1_000 + self._chance.choice(PAISE)) / 100

    def _operation(self, _: int, key: str | None, __: str) -> dict[str, Any]:
        chance = self._chance
        amount = self._amount(key)
        payload: dict[str, Any] = {"project": chance.choice(PROJECTS), "current_status": chance.choice(VIMA_WORDS)}
        method = chance.choice(METHODS)
        asked = {"value": round(amount * 100), "currency": "INR"}
        payload["create_params"] = {"method": method, "params": {"payment": {"amount": asked}}}
        if chance.random() < 0.7:
            payload |= {
                "complete_amount": amount,
                "complete_currency": chance.choice(("INR", "INR", "INR", "INR", "INR", "EUR", "XXX")),
            }
        if chance.random() < 0.3:
            payload["payment_status"] = chance.choice(VIMA_WORDS)
        return payload

    def _transaction(self, number: int, key: str | None, table: str) -> dict[str, Any]:
        chance = self._chance
        word = chance.choice(PAYOUT_WORDS if table == "payshack_payouts" else PAYIN_WORDS)
        return {
            "clientName": chance.choice(CLIENTS),
            "txnStatus": word,
            "amount": self._amount(key),
            "paidAmount": chance.choice((self._amount(key), None)),
            "totalCommissionAmount": 1,
            "refundAmount": chance.choice((None, None, 0, 25, 40, 900)) if word.lower() in RETURNED else None,
            "utr": str(chance.randrange(REFERENCES)) if chance.random() < 0.7 else None,
            "rrn": str(chance.randrange(REFERENCES)) if chance.random() < 0.2 else None,
            "transactionType": chance.choice(TYPES),
        }

    def _quarantined(self) -> QuarantineRow:
        chance = self._chance
        observed = self._start + self._length * chance.random()
        return QuarantineRow(
            table=chance.choice(("vima_operations", "payshack_payins", "payshack_payouts")),
            order_key=str(chance.choice(self._keys[1:])),
            observed_at=observed,
            replayed_at=observed + self._length * chance.random() if chance.random() < 0.5 else None,
        )


_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, LOG_COLUMNS))
_MARKS = sql.SQL(", ").join(map(sql.Placeholder, LOG_COLUMNS))


def insert_log(connection: psycopg.Connection, rows: Sequence[LogRow]) -> None:
    """Commit versions as one load does."""
    for row in rows:
        statement = sql.SQL("insert into raw.{} ({}) values ({})")
        connection.execute(statement.format(sql.Identifier(row.table), _COLUMNS, _MARKS), row.values)


def insert_quarantine(connection: psycopg.Connection, number: int, row: QuarantineRow) -> None:
    """Commit one quarantined record."""
    connection.execute(
        "insert into raw.quarantine (source_table, order_key, content_hash, reason, detail, observed_at, load_mode,"
        " load_scope, load_page, _dlt_load_id)"
        " values (%s, %s, %s, 'inexact_amount', '', %s, 'feed', 'world', 1, 'world')",
        (row.table, row.order_key, f"q{number}", row.observed_at),
    )


def insert_reading(connection: psycopg.Connection, client: str, name: str, balance: float, at: datetime) -> None:
    """Commit one client of one reading of PayShack's directory."""
    version = f"{name} {balance}"
    connection.execute(
        "insert into raw.payshack_clients (record_id, content_hash, payload, observed_at, load_mode, load_scope,"
        " load_page, _dlt_load_id) values (%s, %s, %s, %s, 'feed', 'world', 1, 'world') on conflict do nothing",
        (client, version, json.dumps({"name": name, "balance": balance}), at),
    )
    connection.execute(
        "insert into raw.payshack_balance_snapshots (client_id, observed_at, content_hash, balance)"
        " values (%s, %s, %s, %s) on conflict do nothing",
        (client, at, version, balance),
    )
