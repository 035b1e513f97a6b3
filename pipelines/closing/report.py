"""The report of a business day as lines of JSON, read from the marts: the bytes that are signed.

    head        what the report stands on: date, zone, instant, rules, watermarks
    daily       rpt_reconciliation_daily of the day
    bridge      rpt_bridge_daily of the day, in its order
    tolerance   rpt_tolerance_ledger of the day
    movements   sums of fct_movements that moved on the day, per source, project, flow, kind and currency
    row         every row of fct_reconciliation of the day

The same marts give the same bytes: keys have one order, numbers are written by value, times in UTC. PostgreSQL writes
the lines, so no amount passes through a float.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a report stands on; the same basis over the same raw log gives the same report."""

    business_date: date
    business_timezone: str
    as_known_at: datetime
    rule_version: str
    watermarks: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; `row_key` names the row in section row."""

    section: str
    row_key: str | None
    text: str


def read_report(connection: psycopg.Connection[Any], basis: Basis) -> list[Line]:
    """The day's report from the marts behind `connection`, whose session must be in UTC."""
    lines = [Line(section="head", row_key=None, text=_head(basis))]
    lines += (
        Line(section=section, row_key=row_key, text=text)
        for section, row_key, text in connection.execute(_LINES, {"day": basis.business_date})
    )
    return lines


def report_bytes(texts: Iterable[str]) -> bytes:
    """The lines as the file that is signed: UTF-8, each ended by a line feed."""
    return "".join(f"{text}\n" for text in texts).encode()


def report_hash(texts: Iterable[str]) -> str:
    """SHA-256 of the report's bytes."""
    return hashlib.sha256(report_bytes(texts)).hexdigest()


def canonical_instant(instant: datetime) -> str:
    """One way to write an instant, whatever zone it was read in."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def canonical_json(value: Mapping[str, Any]) -> str:
    """One way to write an object."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _head(basis: Basis) -> str:
    return canonical_json(
        {
            "section": "head",
            "report": "close of a business day",
            "format": FORMAT,
            "business_date": basis.business_date.isoformat(),
            "business_timezone": basis.business_timezone,
            "as_known_at": canonical_instant(basis.as_known_at),
            "rule_version": basis.rule_version,
            "watermarks": dict(basis.watermarks),
        }
    )


_DAILY = (
    "records_count",
    "comparable_count",
    "matched_count",
    "discrepancy_amount_count",
    "discrepancy_status_count",
    "missing_vima_count",
    "missing_payshack_count",
    "in_flight_count",
    "not_yet_comparable_count",
    "informational_count",
    "match_rate",
    "value_at_risk",
    "vima_net",
    "payshack_net",
)
_BRIDGE = ("position", "cause", "amount", "items")
_TOLERANCE = ("reconciliation_id", "entry_number", "difference", "tolerated_so_far", "daily_cap", "is_beyond_cap")


def _object(columns: Iterable[str]) -> str:
    """Numbers by value: to_jsonb would keep the zeros behind them."""
    pairs = (
        f"'{name}', case when jsonb_typeof(to_jsonb({name})) = 'number'"
        f" then to_jsonb(trim_scale((to_jsonb({name}) #>> '{{}}')::numeric)) else to_jsonb({name}) end"
        for name in columns
    )
    return f"jsonb_build_object({', '.join(pairs)})"


_GROUP = ("project", "flow", "currency")


def _section(place: int, section: str, columns: Iterable[str], relation: str, order: str) -> str:
    return (
        f"select {place} as place, '{section}' as section, null as row_key,"  # noqa: S608 - names of our own
        f" row_number() over (order by {order}) as number,"
        f" jsonb_build_object('section', '{section}') || {_object([*_GROUP, *columns])} as content"
        f" from {relation}"
    )


_MOVEMENT_SUMS = """(
    select source, project, flow, kind, currency, count(*) as movements, sum(amount) as amount
    from marts.fct_movements
    where business_date = %(day)s
    group by source, project, flow, kind, currency
) as sums"""

_LINES = (
    "select section, row_key, content::text from ("  # noqa: S608 - names of our own
    + " union all ".join(
        (
            _section(
                1,
                "daily",
                _DAILY,
                "(select * from marts.rpt_reconciliation_daily where business_date = %(day)s) as daily",
                'project collate "C", flow collate "C", currency collate "C"',
            ),
            _section(
                2,
                "bridge",
                _BRIDGE,
                "(select * from marts.rpt_bridge_daily where business_date = %(day)s) as bridge",
                'project collate "C", flow collate "C", currency collate "C", position, cause collate "C"',
            ),
            _section(
                3,
                "tolerance",
                _TOLERANCE,
                "(select * from marts.rpt_tolerance_ledger where business_date = %(day)s) as tolerance",
                'project collate "C", flow collate "C", currency collate "C", entry_number',
            ),
            _section(
                4,
                "movements",
                ("source", "kind", "movements", "amount"),
                _MOVEMENT_SUMS,
                'source collate "C", project collate "C", flow collate "C", kind collate "C", currency collate "C"',
            ),
            "select 5 as place, 'row' as section, reconciliation_id as row_key,"
            ' row_number() over (order by reconciliation_id collate "C") as number,'
            " closing.signed_row(to_jsonb(mart)) as content"
            " from marts.fct_reconciliation as mart where business_date = %(day)s",
        )
    )
    + ") as lines order by place, number"
)
