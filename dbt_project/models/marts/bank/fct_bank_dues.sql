{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=[
            "{{ note_pending() }}", "{{ note_touched_due_days() }}", "{{ drop_touched_bank_days(['fct_bank_dues']) }}"
        ],
        post_hook=[
            "{{ index_references() }}",
            "{{ note_all_days_when_rebuilt() }}",
            "{{ note_processed() }}",
            "{{ analyze_when_rebuilt() }}",
        ],
        indexes=[
            {'columns': ['project', 'settlement_day']},
            {'columns': ['transaction_id']},
        ],
    )
}}

-- depends_on: {{ ref('fct_transaction_versions') }}

with

-- Without a statement nothing of a project is compared.
covered as (

    {{ bank_coverage() }}

),

{% if is_incremental() %}
touched as (

    {{ touched_bank_days(['fct_bank_dues']) }}

),

movements as (

    {{ movements_of_settlement_days('touched') }}

),
{% else %}
movements as (

    select * from {{ ref('fct_movements') }}

),
{% endif %}

records as (

    select * from {{ ref('int_transactions__current') }}

)

select
    movements.movement_id,
    movements.transaction_id,
    movements.project,
    movements.currency,
    movements.kind,
    movements.settlement_day,
    movements.business_date,
    movements.amount,
    case when movements.kind = 'payment' and covered.is_net_of_fees then coalesce(records.fee, 0) else 0 end as fee,
    movements.amount
    - case when movements.kind = 'payment' and covered.is_net_of_fees then coalesce(records.fee, 0) else 0 end
        as net_amount,
    array_remove(array[records.utr, records.rrn], null) as reference_numbers,
    covered.cycle_days,
    movements.settlement_day + covered.cycle_days + 1 as due_on,
    movements.settlement_day + covered.cycle_days + 1 < covered.last_day as is_due
from movements
inner join covered
    on
        movements.project = covered.project
        -- What was settled before the first statement began is of no statement.
        and movements.settlement_day + covered.cycle_days >= covered.first_day
        and movements.settlement_day <= covered.last_day
inner join records
    on movements.transaction_id = records.transaction_id
where movements.source = 'payshack' and movements.flow = 'payin'
