{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_lines_near_touched_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['value_date', 'bank_label']},
            {'columns': ['settlement_day']},
        ],
    )
}}

-- depends_on: {{ ref('bank_accounts') }}

with

lines as (

    select * from {{ ref('int_bank__lines') }}
    {% if is_incremental() %}
    where bank_line_id = any(array({{ lines_near_touched_days() }}))
    {% endif %}

),

settlements as not materialized (

    select * from {{ ref('fct_bank_dues') }}

),

fits as not materialized (

    select
        bank_line_id,
        movement_id,
        settlement_day,
        is_only_fit,
        'reference' as match_pass
    from {{ ref('fct_bank_reference_fits') }}
    union all
    select
        bank_line_id,
        movement_id,
        settlement_day,
        is_only_fit,
        'batch' as match_pass
    from {{ ref('fct_bank_batch_fits') }}

),

fitted as (

    select
        fits.bank_line_id,
        min(fits.match_pass) as match_pass,
        bool_and(fits.is_only_fit) as is_only_fit,
        min(fits.settlement_day) as settlement_day,
        count(distinct fits.movement_id) as settlements_count,
        sum(settlements.amount) as gross_amount,
        sum(settlements.net_amount) as net_amount
    from lines
    inner join fits
        on lines.bank_line_id = fits.bank_line_id
    inner join settlements
        on fits.movement_id = settlements.movement_id
    group by fits.bank_line_id

)

select
    lines.bank_line_id,
    lines.bank_label,
    lines.provider,
    lines.project,
    lines.currency,
    lines.value_date,
    lines.booked_on,
    lines.amount,
    lines.reference,
    case
        when fitted.is_only_fit then 'matched'
        when fitted.bank_line_id is not null then 'ambiguous'
        when lines.amount > 0 then 'missing_provider'
        else 'other_debit'
    end as outcome,
    fitted.match_pass,
    case when fitted.is_only_fit then fitted.settlement_day end as settlement_day,
    coalesce(fitted.settlements_count, 0) as settlements_count,
    case when fitted.is_only_fit then trim_scale(fitted.gross_amount) end as gross_amount,
    -- The bank may have credited the whole amount, fees being invoiced apart; the fee is netted where the line says so.
    case
        when not fitted.is_only_fit then null
        when lines.amount = fitted.gross_amount then 0
        else trim_scale(fitted.gross_amount - fitted.net_amount)
    end as fee_netted,
    case
        when not fitted.is_only_fit then null
        when lines.amount = fitted.gross_amount then 0
        else trim_scale(lines.amount - fitted.net_amount)
    end as amount_difference,
    lines.observed_at
from lines
left join fitted
    on lines.bank_line_id = fitted.bank_line_id
