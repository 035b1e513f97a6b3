{{
    config(
        materialized='table',
        unlogged=true,
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['transaction_id'], 'unique': true}, {'columns': ['match_space']}, {'columns': ['reconciliation_key']}],
    )
}}

with

keys as (

    select * from {{ ref('int_reconciliation__keys_changed') }}

),

transactions as (

    select * from {{ ref('int_transactions__current') }}

),

routing as (

    select * from {{ ref('project_routing') }}

),

class_words as (

    select * from {{ ref('status_class_words') }}

),

parameters as (

    select minutes * interval '1 minute' as pair_distance
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

pending_ttls as (

    select * from {{ ref('pending_ttls') }}

),

records as (

    select
        transactions.*,
        coalesce(routing.is_reconciled and routing.provider = 'payshack', false) as is_reconciled,
        -- A record without a key is alone in its space; the same key in another project or flow is another space.
        case
            when transactions.order_key is null then transactions.transaction_id
            else concat_ws('|', transactions.flow, transactions.project, transactions.order_key)
        end as match_space,
        coalesce(transactions.created_at, transactions.first_seen_at) as placed_at
    from keys
    inner join transactions
        on keys.reconciliation_key = transactions.reconciliation_key
    left join routing
        on transactions.project = routing.project

),

-- A waiting Vima record lives as long as the request that PayShack holds for it; its own side does not say which kind it is.
waiting as (

    select
        records.transaction_id,
        case
            when records.source = 'payshack' then records.transaction_type
            else (
                select counterpart.transaction_type
                from records as counterpart
                where
                    counterpart.match_space = records.match_space
                    and counterpart.source = 'payshack'
                    and (
                        counterpart.created_at - records.created_at
                        between -(select pair_distance from parameters) and (select pair_distance from parameters)
                    ) is not false
                order by abs(extract(epoch from counterpart.created_at - records.created_at)) asc, counterpart.transaction_id asc
                limit 1
            )
        end as transaction_type
    from records
    where records.status_class = 'W' and records.flow = 'payin'

),

classed as (

    select
        records.*,
        case
            when records.status_class = 'W' and records.flow = 'payin'
                then records.placed_at + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
        end as waits_until
    from records
    left join waiting
        on records.transaction_id = waiting.transaction_id
    left join pending_ttls as by_type
        on records.flow = by_type.flow and waiting.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on records.flow = by_default.flow and by_default.transaction_type = 'default'

),

effective as (

    select
        classed.*,
        case
            when classed.status_class <> 'W' then classed.status_class
            when classed.flow = 'payout' then 'P'
            when classed.waits_until <= {{ psp_now() }} then 'X'
            else 'W'
        end as effective_class
    from classed

)

select
    effective.transaction_id,
    effective.reconciliation_key,
    effective.match_space,
    effective.is_reconciled,
    effective.source,
    effective.flow,
    effective.project,
    effective.order_key,
    effective.effective_class,
    class_words.stake_rank,
    effective.created_at,
    effective.placed_at,
    effective.updated_at,
    effective.transaction_type,
    case
        when effective.effective_class = 'W' then effective.waits_until
    end as next_change_at,
    effective.currency,
    effective.minor_unit_exponent,
    effective.amount,
    effective.requested_amount,
    effective.paid_amount,
    effective.fee,
    effective.utr,
    effective.rrn,
    effective.is_paid_amount_missing,
    effective.is_flow_assumed,
    effective.is_self_inconsistent,
    effective.is_status_regression
from effective
inner join class_words
    on effective.effective_class = class_words.status_class
