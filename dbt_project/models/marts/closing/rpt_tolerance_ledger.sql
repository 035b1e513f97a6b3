{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_reconciliation_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['business_date', 'project', 'flow']},
        ],
    )
}}

with

{{ affected_reconciliations() }},

tolerated as (

    select * from affected
    where tolerated_difference is not null

),

tolerances as (

    select * from {{ ref('amount_tolerances') }}

),

currencies as (

    select * from {{ ref('currencies') }}

)

select
    tolerated.reconciliation_id,
    tolerated.business_date,
    tolerated.project,
    tolerated.flow,
    tolerated.currency,
    row_number() over ledger_of_the_day as entry_number,
    tolerated.event_at,
    tolerated.vima_amount,
    tolerated.payshack_amount,
    tolerated.tolerated_difference as difference,
    sum(abs(tolerated.tolerated_difference)) over ledger_of_the_day as tolerated_so_far,
    trim_scale(coalesce(tolerances.daily_cap_minor, 0) / {{ minor_units('currencies.minor_unit_exponent') }})
        as daily_cap,
    'tolerance_cap_passed' = any(tolerated.reasons) as is_beyond_cap
from tolerated
left join currencies
    on tolerated.currency = currencies.currency
left join tolerances
    on tolerated.project = tolerances.project and tolerated.currency = tolerances.currency
window ledger_of_the_day as (
    partition by tolerated.business_date, tolerated.project, tolerated.flow, tolerated.currency
    order by tolerated.event_at asc, tolerated.reconciliation_id asc
    rows between unbounded preceding and current row
)
