"""Signed days over a real warehouse: signed once, rebuilt byte for byte, adjusted once for what became known later."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from typer.testing import CliRunner

from pipelines.breaks import actions
from pipelines.breaks.ledger import read_break
from pipelines.cli import app
from pipelines.closing.changes import changes_since
from pipelines.closing.ledger import NotAtRest, broken_links, close_of, closes, sign, signed_texts
from pipelines.closing.rebuild import PREFIX, rebuilt_texts
from pipelines.closing.report import report_bytes, report_hash
from pipelines.closing.rule_book import RuleBook
from pipelines.core.errors import ClosingError, ConflictError
from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.settings import Settings
from pipelines.defs.model.closing import close_day, days_to_close
from pipelines.defs.model.elsewhere import build_elsewhere
from pipelines.defs.model.manifest import PROJECT, content_fingerprint
from tests.integration.dbt.conftest import Warehouse
from tests.integration.dbt.worlds import LogRow, World, insert_log, insert_quarantine

DAY = date(2026, 1, 11)
INDIA = ZoneInfo("Asia/Kolkata")
AFTER = datetime(2026, 1, 12, 0, 30, tzinfo=UTC)  # 06:00 of the day after, in India
FINAL = AFTER + timedelta(days=3)
LATER = FINAL + timedelta(days=3)
WORLD = World(11, start=datetime(2026, 1, 10, 20, 0, tzinfo=UTC), length=timedelta(hours=30))
BOOK = ("+fct_reconciliation", "+rpt_prior_period_adjustments")
"""What the books are read from, with all that it is made of."""
KNOWN_LATE = 40
"""Records of which a version is read only after the final close."""


def put_watermarks(warehouse: Warehouse, instant: datetime) -> None:
    warehouse.query(
        "insert into raw.source_watermarks (source, flow, watermark, updated_at)"
        " select source, flow, %s, now() from unnest(array['vima', 'payshack']) as source,"
        " unnest(array['payin', 'payout']) as flow"
        " on conflict (source, flow) do update set watermark = excluded.watermark",
        [instant],
    )


def late_part() -> tuple[list[LogRow], list[LogRow]]:
    """What is known at the final close, and what is read later: whole records and newer versions."""
    late, seen = [], set()
    for row in reversed(WORLD.log):
        name = (row.table, row.values["record_id"])
        if len(late) < KNOWN_LATE and name not in seen and row.observed_at < FINAL:
            late.append(row)
        seen.add(name)
    return [row for row in WORLD.log if row not in late], late


def totals(warehouse: Warehouse) -> tuple[Decimal, Decimal]:
    row = warehouse.query(
        "select coalesce(sum(vima_effect), 0) as vima, coalesce(sum(payshack_effect), 0) as payshack"
        " from marts.fct_reconciliation where business_date = %s",
        [DAY],
    )[0]
    return row["vima"], row["payshack"]


def booked(warehouse: Warehouse) -> list[dict[str, Any]]:
    return warehouse.query("select * from marts.rpt_prior_period_adjustments order by adjustment_id")


def explain_one(warehouse: Warehouse, now: datetime) -> None:
    """A person accepts the cause of one more break of the day."""
    found = warehouse.query(
        "select break_id from marts.fct_breaks where business_date = %s and is_open and exposure > 0"
        " order by break_id limit 1",
        [DAY],
    )
    with connect(warehouse.url, role="psp_operator", autocommit=True) as connection:
        known = read_break(connection, found[0]["break_id"])
        named = {"break_id": known.break_id, "expected_event_number": known.last_event_number}
        actions.explain(connection, **named, reason_code="other", text="known", actor="asha", at=now)


def rules(settings: Settings) -> RuleBook:
    return RuleBook(version=content_fingerprint(settings), project=PROJECT)


@pytest.fixture
def known(dbt_warehouse: Warehouse) -> list[LogRow]:
    """Loads what is known the morning after; returns what comes after the final close."""
    early, late = late_part()
    with connect(dbt_warehouse.url) as connection:
        insert_log(connection, [row for row in early if row.observed_at <= AFTER])
        for number, row in enumerate(WORLD.quarantine[:5]):
            insert_quarantine(connection, number, row)
    return late


def test_a_signed_day_stays_what_it_was(dbt_warehouse: Warehouse, known: list[LogRow], tmp_path: Path) -> None:
    warehouse, url = dbt_warehouse, dbt_warehouse.url
    at = lambda instant: warehouse.make_settings(PSP_NOW=instant.isoformat())  # noqa: E731 - settings at an instant

    # Nothing is signed before its time, from marts that are behind, or while a source is not complete.
    with pytest.raises(ClosingError, match="2026-01-12 may be closed as provisional from 2026-01-13 06:00 IST"):
        close_day(at(AFTER), url, day=DAY + timedelta(days=1), kind="provisional", by="test")
    with pytest.raises(NotAtRest, match="built by other rules"):
        sign(url, day=DAY, kind="provisional", by="test", now=AFTER, zone=INDIA, rules=rules(at(AFTER)))
    put_watermarks(warehouse, AFTER - timedelta(hours=7))
    provisional = close_day(at(AFTER), url, day=DAY, kind="provisional", by="night shift")
    with pytest.raises(ClosingError, match="is not complete yet in vima payin"):
        close_day(at(FINAL), url, day=DAY, kind="final", by="A. Finance")
    put_watermarks(warehouse, FINAL)
    with connect(url) as connection:
        insert_log(connection, [row for row in late_part()[0] if row.observed_at > AFTER])
    warehouse.changes(FINAL, "+rpt_bridge_daily")
    explain_one(warehouse, FINAL)
    final = close_day(at(FINAL), url, day=DAY, kind="final", by="A. Finance")
    assert (provisional.close_number, final.close_number) == (1, 2)
    assert final.previous_hash == provisional.close_hash
    for kind in ("provisional", "final"):
        with pytest.raises(ConflictError, match=f"{DAY} has been closed as"):
            close_day(at(FINAL), url, day=DAY, kind=kind, by="somebody else")

    assert DAY not in days_to_close(at(FINAL), url, "provisional")
    assert days_to_close(at(FINAL), url, "provisional")[-1] == date(2026, 1, 14)
    with connect(url, role=TRANSFORMER) as connection:
        signed = {close.kind: signed_texts(connection, close) for close in closes(connection)}
        assert report_hash(signed["final"]) == final.report_hash
        assert changes_since(connection, final) == []
        assert broken_links(connection) == []
    sections = [json.loads(line).get("section", "row") for line in signed["final"]]
    assert set(sections) >= {"head", "daily", "bridge", "movements", "row"}
    assert sections.count("row") > 50
    causes = {kind: {json.loads(line).get("cause") for line in lines} for kind, lines in signed.items()}
    assert "explained" in causes["final"] - causes["provisional"]
    signed_totals = totals(warehouse)

    # A decision alone makes reports that do not say it unfit to be signed.
    explain_one(warehouse, FINAL)
    with pytest.raises(NotAtRest, match="behind the raw log"):
        sign(url, day=date(2026, 1, 10), kind="final", by="test", now=FINAL, zone=INDIA, rules=rules(at(FINAL)))

    # Later: new versions, new records, a replayed quarantine; then everything is rebuilt.
    with connect(url) as connection:
        insert_log(connection, known)
        connection.execute("update raw.quarantine set replayed_at = %s where content_hash = 'q1'", (LATER,))
    put_watermarks(warehouse, LATER)
    with pytest.raises(NotAtRest, match="behind the raw log"):
        sign(url, day=date(2026, 1, 12), kind="final", by="test", now=LATER, zone=INDIA, rules=rules(at(LATER)))
    warehouse.changes(LATER, *BOOK)
    after = booked(warehouse)
    assert after
    assert {row["change"] for row in after} >= {"changed"}
    assert {row["booked_on"] for row in after} == {LATER.astimezone(INDIA).date()}
    assert len({row["reconciliation_id"] for row in after}) == len(after), "a change was booked twice"
    moved = [sum((row[f"{side}_adjustment"] for row in after), Decimal(0)) for side in ("vima", "payshack")]
    assert [now - then for now, then in zip(totals(warehouse), signed_totals, strict=True)] == moved
    warehouse.changes(LATER + timedelta(hours=1), *BOOK)
    warehouse.rebuild(LATER + timedelta(hours=1), *BOOK)
    assert booked(warehouse) == after
    with connect(url, role=TRANSFORMER) as connection:
        changed = changes_since(connection, final)
        assert [one.reconciliation_id for one in changed] == sorted(row["reconciliation_id"] for row in after)
        assert all(one.fields for one in changed if one.change == "changed")
        assert {close.kind: signed_texts(connection, close) for close in closes(connection)} == signed

    # A second change of the same rows is booked against the first.
    warehouse.query("update raw.source_watermarks set watermark = watermark + interval '2 days'")
    undone = known[0]
    again = LogRow(
        table=undone.table,
        observed_at=LATER + timedelta(days=2),
        values=undone.values
        | {"content_hash": "again", "observed_at": LATER + timedelta(days=2), "source_updated_at": LATER}
        | {"payload": undone.values["payload"].replace('"success"', '"fail"').replace('"Success"', '"Refunded"')},
    )
    with connect(url) as connection:
        insert_log(connection, [again])
    warehouse.changes(LATER + timedelta(days=2), *BOOK)
    moved = [sum((row[f"{side}_adjustment"] for row in booked(warehouse)), Decimal(0)) for side in ("vima", "payshack")]
    assert [now - then for now, then in zip(totals(warehouse), signed_totals, strict=True)] == moved

    # Both reports come out of the raw log again, byte for byte, although the log has grown.
    for close in (provisional, final):
        assert report_bytes(rebuilt_texts(url, close, build_elsewhere)) == report_bytes(signed[close.kind])
    left = warehouse.query("select datname from pg_database where starts_with(datname, %s)", [PREFIX])
    assert left == []


def test_what_was_signed_cannot_be_changed_unseen(
    dbt_warehouse: Warehouse, known: list[LogRow], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = dbt_warehouse.url
    put_watermarks(dbt_warehouse, FINAL)
    for name, value in {"PSP_DATABASE_URL": url, "PSP_HOME": str(tmp_path), "PSP_NOW": FINAL.isoformat()}.items():
        monkeypatch.setenv(name, value)

    def psp(*arguments: str) -> tuple[int, Any]:
        outcome = CliRunner().invoke(app, ["close", *arguments])
        return outcome.exit_code, outcome

    code, _ = psp("--date", str(DAY), "--final", "--by", "A. Finance", "--json")
    assert code == 0
    code, outcome = psp("show", "--date", str(DAY), "--out", str(tmp_path / "day.jsonl"), "--json")
    told = json.loads(outcome.stdout)
    assert (code, told["closed_by"], told["kind"]) == (0, "A. Finance", "final")
    with connect(url, role=TRANSFORMER) as connection:
        close = close_of(connection, DAY)
        assert (tmp_path / "day.jsonl").read_bytes() == report_bytes(signed_texts(connection, close))
        for statement in (
            "update closing.day_closes set closed_by = 'nobody'",
            "delete from closing.signed_lines",
            "truncate closing.adjustments",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement.encode())
    code, outcome = psp("diff", "--date", str(DAY), "--json")
    assert (code, json.loads(outcome.stdout)["changes"]) == (0, [])
    code, outcome = psp("list", "--json")
    assert (code, json.loads(outcome.stdout)["broken"]) == (0, [])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"):
        dbt_warehouse.query("update closing.signed_lines set line = '{}' where line_number = 2")
    # Whoever owns the database can do it all the same; then the chain says so.
    dbt_warehouse.query(
        "set session_replication_role = replica; update closing.signed_lines set line = '{}' where line_number = 2"
    )
    code, outcome = psp("list", "--json")
    assert code == 1
    assert "its report is not what was signed" in json.loads(outcome.stdout)["broken"][0]
    assert psp("show", "--date", str(DAY))[0] == 1
    assert psp("show", "--date", "2026-01-01")[0] == 1
    assert psp()[0] == 2
