# ruff: noqa: S608 - every statement is put together from columns and words of our own
"""The invariants of reconciliation, over 200 generated worlds of 200 orders in three tellings (see tellings).

Each test is one question in SQL over all worlds at once; the tests that change the warehouse come last, in this order.
"""

import pytest

from tests.properties.conftest import ORDERS, WORLDS, Told
from tests.properties.tellings import ROWS, SEEN_PORTIONS

SAME = (
    *(
        "flow",
        "order_key",
        "match_state",
        "outcome",
        "comparability",
        "reasons",
        "severity",
        "exposure",
        "exposure_side",
    ),
    *("vima_amount", "payshack_amount", "vima_status", "payshack_status", "currency", "payshack_currency"),
    *("vima_effect", "payshack_effect", "tolerated_difference", "business_date", "event_at"),
    *("vima_attempts", "payshack_attempts"),
)
MIRRORED = {
    "missing_vima": "missing_payshack",
    "missing_payshack": "missing_vima",
    "underpaid": "overpaid",
    "overpaid": "underpaid",
}
# What sides, flows and days may say otherwise: who loses, the words of the matrix, where midnight falls, and which of
# the day's tolerated differences are the newest, for the time of a payment is Vima's.
OWN_REASONS = (
    "select reason from reference.reconciliation_reasons where family not in ('status', 'time')"
    " and reason not in ('not_sent', 'paid_amount_missing', 'flow_assumed', 'tolerance_cap_passed')"
)
OWN_OUTCOME = "(case when tolerated_difference is null then outcome end)"


def mirrored(value: str) -> str:
    """SQL that exchanges the sides in a word."""
    cases = " ".join(f"when '{ours}' then '{theirs}'" for ours, theirs in MIRRORED.items())
    return f"(case {value} {cases} else {value} end)"


def own_reasons(reasons: str, word: str = "reason") -> str:
    return f"array(select {word} from unnest({reasons}) as reason where reason in ({OWN_REASONS}) order by 1)"


@pytest.fixture(scope="module")
def worlds(told: Told) -> Told:
    """With the view that the tests compare."""
    told.query(ROWS)
    return told


def test_the_worlds_hold_what_is_to_be_proved(worlds: Told) -> None:
    found = worlds.query(
        "select count(distinct world) as worlds, count(distinct (world, key)) as orders from told.versions"
        " where not is_extra"
    )
    assert found[0]["worlds"] == WORLDS
    assert found[0]["orders"] > WORLDS * ORDERS * 0.95
    said = worlds.query("select count(*) as rows, count(distinct outcome) as outcomes from told.rows")
    assert (said[0]["rows"] > 3 * WORLDS * ORDERS, said[0]["outcomes"]) == (True, 5)
    reasons = {row["reason"] for row in worlds.query("select distinct unnest(reasons) as reason from told.rows")}
    assert reasons >= {
        *("no_key", "key_collision", "duplicate_success", "duplicate_utr", "currency_mismatch", "within_tolerance"),
        *("tolerance_cap_passed", "unit_error", "underpaid", "overpaid", "status_regression", "cross_midnight"),
        *("matched_by_reference", "ambiguous_reference"),
        *("suspect", "unmapped_status", "late_success", "refund_not_reflected", "chargeback_not_reflected"),
    }


def test_conservation_every_record_of_a_routed_project_is_in_exactly_one_row(worlds: Told) -> None:
    worlds.none("""
        with places as (
            select vima_transaction_id as id from marts.fct_reconciliation where vima_transaction_id is not null
            union all
            select payshack_transaction_id from marts.fct_reconciliation where payshack_transaction_id is not null
            union all
            select unnest(vima_attempt_ids || payshack_attempt_ids) from marts.fct_reconciliation
        ),
        counted as (select id, count(*) as n from places group by id),
        records as (
            select transaction_id as id, project !~ 'x$' as is_routed from intermediate.int_transactions__current
        )
        select id, is_routed, n from records full outer join counted using (id)
        where coalesce(n, 0) is distinct from case when is_routed then 1 else 0 end
    """)


def test_order_and_pieces_of_arrival_and_unrelated_orders_change_nothing(worlds: Told) -> None:
    columns = ", ".join(SAME)
    worlds.none(f"""
        with a as (
            select concat_ws(',', coalesce(vima, '-'), coalesce(payshack, '-')) as legs, row({columns})::text as said
            from told.rows where prefix = 'a'
        ),
        b as (
            select concat_ws(',', coalesce(vima, '-'), coalesce(payshack, '-')) as legs, row({columns})::text as said
            from told.rows where prefix = 'b' and is_extra is not true
        )
        select legs, a.said as at_once, b.said as in_pieces
        from a full outer join b using (legs)
        where a.said is distinct from b.said
    """)


def test_swapped_sides_and_shifted_times_give_the_mirrored_types(worlds: Told) -> None:
    worlds.none(f"""
        with a as (
            select concat_ws(',', coalesce(vima, '-'), coalesce(payshack, '-')) as legs,
                row(flow, order_key, match_state, {OWN_OUTCOME}, comparability, vima_attempts, payshack_attempts,
                    vima_amount, payshack_amount, abs(tolerated_difference), {own_reasons("reasons")})::text as said
            from told.rows where prefix = 'a'
        ),
        c as (
            select concat_ws(',', coalesce(payshack, '-'), coalesce(vima, '-')) as legs,
                row(flow, order_key, match_state, {mirrored(OWN_OUTCOME)}, comparability, payshack_attempts,
                    vima_attempts, payshack_amount, vima_amount, abs(tolerated_difference),
                    {own_reasons("reasons", mirrored("reason"))})::text as said
            from told.rows where prefix = 'c'
        )
        select legs, a.said as told, c.said as mirrored
        from a full outer join c using (legs)
        where a.said is distinct from c.said
    """)


def test_the_finality_of_a_record_never_falls(worlds: Told) -> None:
    # Of all versions seen so far the most final one is what counts, also after later and less final ones.
    worlds.none("""
        select current.transaction_id, current.status_class, max(words.finality_rank) as seen
        from intermediate.int_transactions__current as current
        inner join told.all_versions as versions on current.source_txn_id = versions.record_id
        inner join reference.status_class_words as words
            on versions.class = words.status_class
        inner join reference.status_class_words as own on current.status_class = own.status_class
        group by current.transaction_id, current.status_class, own.finality_rank
        having max(words.finality_rank) > own.finality_rank
    """)


@pytest.mark.parametrize("portion", SEEN_PORTIONS[1:])
def test_time_alone_makes_a_row_comparable_and_never_the_reverse(worlds: Told, portion: int) -> None:
    worlds.none(f"""
        select earlier.reconciliation_id, earlier.comparability as earlier, later.comparability as later
        from told.seen_{portion - 1} as earlier
        inner join told.seen_{portion} as later using (reconciliation_id, hashes)
        where earlier.comparability in ('comparable', 'informational') and later.comparability <> earlier.comparability
    """)


@pytest.mark.parametrize("portion", SEEN_PORTIONS[1:])
def test_an_order_keeps_its_name(worlds: Told, portion: int) -> None:
    # Of one row, that is; a pair by reference carries the name of Vima's order, and further rows that of their record.
    worlds.none(f"""
        with earlier as (
            select flow, project, order_key, max(reconciliation_id) as name from told.seen_{portion - 1}
            where order_key is not null group by flow, project, order_key
            having count(*) = 1 and bool_and(match_state <> 'by_reference')
        ),
        later as (
            select flow, project, order_key, max(reconciliation_id) as name from told.seen_{portion}
            where order_key is not null group by flow, project, order_key
            having count(*) = 1 and bool_and(match_state <> 'by_reference')
        )
        select * from earlier inner join later using (flow, project, order_key) where earlier.name <> later.name
    """)


def test_the_same_run_again_writes_nothing(worlds: Told) -> None:
    written = "select max(changed_xid) as xid, count(*) as n from marts.fct_reconciliation"
    before = worlds.query(written)
    worlds.run(SEEN_PORTIONS[-1])
    assert worlds.query(written) == before


def test_pieces_converge_to_what_a_full_rebuild_says(worlds: Told) -> None:
    columns = ", ".join(
        row["name"]
        for row in worlds.query(
            "select column_name as name from information_schema.columns where table_schema = 'marts'"
            " and table_name = 'fct_reconciliation' and column_name <> 'changed_xid' order by 1"
        )
    )
    worlds.query("create table told.kept as select * from marts.fct_reconciliation")
    worlds.run(SEEN_PORTIONS[-1], "--full-refresh")
    for one, other in (("told.kept", "marts.fct_reconciliation"), ("marts.fct_reconciliation", "told.kept")):
        worlds.none(f"select {columns} from {one} except select {columns} from {other}")
