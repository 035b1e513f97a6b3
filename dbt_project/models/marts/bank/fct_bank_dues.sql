{{
    config(
        materialized='table',
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['movement_id'], 'unique': true}, {'columns': ['project', 'settlement_day']}],
    )
}}

with

accounts as (

    select * from {{ ref('bank_accounts') }}

),

-- How far the bank's word reaches: without a statement nothing of a project is compared.
covered as (

    select
        accounts.project,
        max(accounts.cycle_days) as cycle_days,
        bool_or(accounts.is_net_of_fees) as is_net_of_fees,
        min(statements.first_day) as first_day,
        max(statements.last_day) as last_day
    from {{ source('raw', 'bank_statements') }} as statements
    inner join accounts
        on statements.account = accounts.account
    group by accounts.project

),

movements as (

    select * from {{ ref('fct_movements') }}

),

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
