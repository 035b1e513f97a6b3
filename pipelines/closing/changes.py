"""What changed of a signed day: row by row against the marts as they are now, and the adjustments that were booked."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row

from pipelines.closing.ledger import Close

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row that is not what was signed. `fields` names what differs; amounts are in major units of `currency`."""

    reconciliation_id: str
    change: str
    order_key: str | None
    project: str
    flow: str
    currency: str | None
    fields: list[str]
    signed: Row | None
    now: Row | None
    vima_adjustment: Decimal
    payshack_adjustment: Decimal


# Amounts leave as text and numeric: jsonb's numbers would become floats in Python.
_DIFFERENCES = """
with signed as (
    select row_key as reconciliation_id, line::jsonb as content
    from closing.signed_lines
    where close_number = %(close)s and section = 'row'
),
current_rows as (
    select mart.reconciliation_id, closing.signed_row(to_jsonb(mart)) as content
    from marts.fct_reconciliation as mart
    where mart.business_date = %(day)s
),
compared as (
    select
        coalesce(signed.reconciliation_id, current_rows.reconciliation_id) as reconciliation_id,
        signed.content as signed,
        current_rows.content as now,
        coalesce(current_rows.content, signed.content) as newest,
        array(
            select field.key
            from jsonb_each(coalesce(signed.content, current_rows.content)) as field
            where field.value is distinct from (case
                when signed.content is null then null else current_rows.content -> field.key
            end)
            order by field.key
        ) as fields
    from signed
    full outer join current_rows on signed.reconciliation_id = current_rows.reconciliation_id
)
select
    reconciliation_id,
    case when signed is null then 'arrived' when now is null then 'left' else 'changed' end as change,
    newest ->> 'order_key' as order_key,
    newest ->> 'project' as project,
    newest ->> 'flow' as flow,
    newest ->> 'currency' as currency,
    case when signed is null or now is null then '{}' else fields end as fields,
    (select jsonb_object_agg(key, value) from jsonb_each_text(signed)) as signed,
    (select jsonb_object_agg(key, value) from jsonb_each_text(now)) as now,
    coalesce((now ->> 'vima_effect')::numeric, 0) - coalesce((signed ->> 'vima_effect')::numeric, 0) as vima_adjustment,
    coalesce((now ->> 'payshack_effect')::numeric, 0) - coalesce((signed ->> 'payshack_effect')::numeric, 0)
        as payshack_adjustment
from compared
where cardinality(fields) > 0
order by reconciliation_id
"""


def changes_since(connection: psycopg.Connection[Any], close: Close) -> list[Change]:
    """Every row of the day that is not what was signed, in the order of their ids."""
    cursor = connection.cursor(row_factory=class_row(Change))
    return cursor.execute(_DIFFERENCES.encode(), {"close": close.close_number, "day": close.business_date}).fetchall()


def adjustments_of(connection: psycopg.Connection[Any], close: Close) -> list[Row]:
    """What was booked of the day after its final close, oldest first."""
    return (
        connection.cursor(row_factory=dict_row)
        .execute(
            "select adjustment_id, reconciliation_id, change, known_at, booked_on,"
            " coalesce((known_since ->> 'vima_effect')::numeric, 0)"
            " - coalesce((known_before ->> 'vima_effect')::numeric, 0) as vima_adjustment,"
            " coalesce((known_since ->> 'payshack_effect')::numeric, 0)"
            " - coalesce((known_before ->> 'payshack_effect')::numeric, 0) as payshack_adjustment"
            " from closing.adjustments where close_number = %s order by adjustment_id",
            (close.close_number,),
        )
        .fetchall()
    )
