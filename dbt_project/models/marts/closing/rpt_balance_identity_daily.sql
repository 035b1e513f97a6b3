{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_balances() }}"],
        post_hook="{{ note_processed() }}",
        indexes=[
            {'columns': ['changed_xid']},
        ],
    )
}}

-- depends_on: {{ ref('int_bank__lines') }}, {{ ref('bank_accounts') }}

with

touched as (

    {% if is_incremental() %}
    {{ touched_balances() }}
    {% else %}
    select distinct
        merchant,
        business_date
    from {{ ref('int_balances__snapshots') }}
    {% endif %}

),

-- A day runs from the last snapshot of the day before that has one to its own last.
affected as (

    {{ balance_periods() }}

),

client_projects as (

    select * from {{ ref('client_projects') }}

),

movements as (

    {{ movements_of_periods('affected') }}

),

moved as (

    select
        movements.merchant,
        movements.closing_date as business_date,
        sum(movements.amount) filter (where movements.kind = 'payment' and movements.flow = 'payin') as payins,
        sum(movements.amount) filter (where movements.kind = 'payment' and movements.flow = 'payout') as payouts,
        sum(movements.amount) filter (where movements.kind <> 'payment') as returned,
        -sum(records.fee) filter (where movements.kind = 'payment') as fees
    from movements
    inner join {{ ref('fct_transactions') }} as records
        on movements.transaction_id = records.transaction_id
    group by movements.merchant, movements.closing_date

),

-- What the bank has received left the provider's balance. A client that is not in the seed is its own project.
settled as (

    select
        affected.merchant,
        affected.business_date,
        -sum(bank_lines.amount) as settlements
    from affected
    left join client_projects
        on affected.merchant = client_projects.client_name
    inner join {{ ref('fct_bank_lines') }} as bank_lines
        on
            coalesce(client_projects.project, affected.merchant) = bank_lines.project
            and affected.business_date >= bank_lines.value_date
            and affected.opening_date < bank_lines.value_date
    where bank_lines.outcome = 'matched'
    group by affected.merchant, affected.business_date

),

adjusted as (

    select
        affected.merchant,
        affected.business_date,
        sum(adjustments.amount) as adjustments
    from affected
    inner join {{ ref('balance_adjustments') }} as adjustments
        on
            affected.merchant = adjustments.client_name
            and affected.business_date >= adjustments.business_date
            and affected.opening_date < adjustments.business_date
    group by affected.merchant, affected.business_date

),

summed as (

    select
        affected.merchant,
        affected.business_date,
        affected.opening_at,
        affected.opening_balance,
        affected.closing_at,
        affected.closing_balance,
        coalesce(moved.payins, 0) as payins,
        coalesce(moved.payouts, 0) as payouts,
        coalesce(moved.fees, 0) as fees,
        coalesce(moved.returned, 0) as returned,
        coalesce(settled.settlements, 0) as settlements,
        coalesce(adjusted.adjustments, 0) as adjustments
    from affected
    left join moved
        on affected.merchant = moved.merchant and affected.business_date = moved.business_date
    left join settled
        on affected.merchant = settled.merchant and affected.business_date = settled.business_date
    left join adjusted
        on affected.merchant = adjusted.merchant and affected.business_date = adjusted.business_date

)

select
    business_date,
    merchant,
    'INR' as currency,
    opening_at,
    trim_scale(opening_balance) as opening_balance,
    trim_scale(payins) as payins,
    trim_scale(payouts) as payouts,
    trim_scale(fees) as fees,
    trim_scale(returned) as returned,
    trim_scale(settlements) as settlements,
    trim_scale(adjustments) as adjustments,
    closing_at,
    trim_scale(closing_balance) as closing_balance,
    trim_scale(
        closing_balance - opening_balance - payins - payouts - fees - returned - settlements - adjustments
    ) as residual,
    closing_balance - opening_balance - payins - payouts - fees - returned - settlements - adjustments <> 0 as is_alert,
    {{ current_xid() }} as changed_xid
from summed
