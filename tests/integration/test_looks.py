"""What is told to people by looks at the warehouse: a signature that is overdue, words that nobody has mapped."""

from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg
import pytest

from pipelines.core.postgres import connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.watch.checks import LOOKS
from pipelines.defs.watch.looking import Look


def look_of(mart: str, name: str) -> Look:
    return LOOKS[dg.AssetCheckKey(dg.AssetKey(["marts", mart]), name)][1]


OVERDUE = look_of("rpt_day_closes", "no_final_close_is_overdue")
WORDS = look_of("fct_transactions", "words_are_known")
RULES = "insert into closing.rule_books values ('r', '', now())"
CLOSE = """
insert into closing.day_closes values (
    (select count(*) + 1 from closing.day_closes), %s, %s, now(), 'test', now(), '1:1:', 'r', 'Asia/Kolkata', '{}',
    '{}', 0, '', '', ''
)
"""


@pytest.fixture
def closed(warehouse: str) -> str:
    """11 January has both closes, 12 and 13 January the provisional one only."""
    with connect(warehouse) as connection:
        connection.execute(RULES)
        for day, kind in ((11, "provisional"), (11, "final"), (12, "provisional"), (13, "provisional")):
            connection.execute(CLOSE.encode(), (date(2026, 1, day), kind))
    return warehouse


@pytest.mark.parametrize(
    ("now", "overdue", "severity"),
    [
        ("2026-01-16T06:29:00+00:00", [], None),  # 11:59 in India; the 12th may be signed since 06:00
        ("2026-01-16T06:31:00+00:00", ["2026-01-12"], dg.AssetCheckSeverity.WARN),
        ("2026-01-17T00:31:00+00:00", ["2026-01-12"], dg.AssetCheckSeverity.ERROR),
        ("2026-01-17T06:31:00+00:00", ["2026-01-12", "2026-01-13"], dg.AssetCheckSeverity.ERROR),
    ],
)
def test_an_overdue_signature_is_a_warning_then_an_error(
    closed: str,
    make_settings: Callable[..., Settings],
    now: str,
    overdue: list[str],
    severity: dg.AssetCheckSeverity | None,
) -> None:
    found = OVERDUE(make_settings(PSP_DATABASE_URL=closed, PSP_NOW=now))
    assert found["metadata"] == {"days_overdue": len(overdue), "first_of_them": overdue}
    assert found["passed"] is (not overdue)
    assert found.get("severity") is severity
    if overdue:
        assert "psp close --date 2026-01-12 --final" in found["description"]


def test_days_before_the_first_close_are_owed_to_nobody(warehouse: str, make_settings: Callable[..., Settings]) -> None:
    later = date(2026, 1, 11) + timedelta(days=30)
    assert OVERDUE(make_settings(PSP_DATABASE_URL=warehouse, PSP_NOW=f"{later}T00:00:00+00:00"))["passed"]


def test_words_and_clients_that_nobody_has_mapped_are_told_to_the_owners_of_the_data(loaded_settings: Settings) -> None:
    found = WORDS(loaded_settings)
    unknown = found["metadata"]["unknown"]
    assert (found["passed"], found["severity"]) == (False, dg.AssetCheckSeverity.WARN)
    assert {name.split()[0] + " " + name.split()[1] for name in unknown} == {
        *("vima status", "payshack status", "payshack client"),
    }
    assert "payshack client NEW_CLIENT_PVT_LTD" in unknown
    assert next(iter(unknown)) in found["description"]
    with connect(database_url(loaded_settings)) as connection:
        connection.execute("update marts.fct_transactions set is_client_unmapped = false")
        connection.execute("update marts.fct_transaction_versions set status = 'failed'")
    assert WORDS(loaded_settings)["passed"]
