{#
    Post-hook of rpt_reconciliation_daily, before it notes what it has processed: what became known of a day after its final
    close is booked, once, as the row was known before and as it is since (R6). Looks at the days that this run has touched.
    The ledger (closing.adjustments) belongs to the warehouse's foundation: no rebuild forgets it, none doubles it, because a
    row is compared with what was last known of it.
#}
{% macro book_adjustments() %}
    with closed as (
        select closes.close_number, closes.business_date
        from closing.day_closes as closes
        where
            closes.kind = 'final'
            {% if is_incremental() %}
            and closes.business_date in (select business_date from ({{ touched_reconciliation_days() }}) as touched)
            {% endif %}
    ),

    signed as (
        select closed.close_number, closed.business_date, lines.row_key as reconciliation_id, lines.line::jsonb as content
        from closed
        inner join closing.signed_lines as lines
            on closed.close_number = lines.close_number and lines.section = 'row'
    ),

    booked as (
        select distinct on (adjustments.close_number, adjustments.reconciliation_id)
            adjustments.close_number,
            closed.business_date,
            adjustments.reconciliation_id,
            adjustments.known_since as content
        from closed
        inner join closing.adjustments as adjustments on closed.close_number = adjustments.close_number
        order by adjustments.close_number, adjustments.reconciliation_id, adjustments.adjustment_id desc
    ),

    -- What was last known: as booked, else as signed. A row that left has nothing.
    known as (
        select
            coalesce(booked.close_number, signed.close_number) as close_number,
            coalesce(booked.business_date, signed.business_date) as business_date,
            coalesce(booked.reconciliation_id, signed.reconciliation_id) as reconciliation_id,
            case when booked.reconciliation_id is null then signed.content else booked.content end as content
        from signed
        full outer join booked
            on signed.close_number = booked.close_number and signed.reconciliation_id = booked.reconciliation_id
    ),

    current_rows as (
        select
            closed.close_number,
            closed.business_date,
            mart.reconciliation_id,
            to_jsonb(mart) as mart_row
        from closed
        inner join {{ ref('fct_reconciliation') }} as mart on closed.business_date = mart.business_date
    )

    insert into closing.adjustments (
        close_number, business_date, reconciliation_id, change, known_at, booked_on, known_before, known_since
    )
    select
        coalesce(known.close_number, current_rows.close_number),
        coalesce(known.business_date, current_rows.business_date),
        coalesce(known.reconciliation_id, current_rows.reconciliation_id),
        case
            when known.content is null then 'arrived'
            when current_rows.mart_row is null then 'left'
            else 'changed'
        end,
        {{ psp_now() }},
        {{ business_date(psp_now()) }},
        known.content,
        case when current_rows.mart_row is not null then closing.signed_row(current_rows.mart_row) end
    from known
    full outer join current_rows
        on
            known.close_number = current_rows.close_number
            and known.reconciliation_id = current_rows.reconciliation_id
    where
        case
            when known.content is null then current_rows.mart_row is not null
            when current_rows.mart_row is null then true
            else not closing.says_the_same(known.content, current_rows.mart_row)
        end
    order by 1, 3
{% endmacro %}
