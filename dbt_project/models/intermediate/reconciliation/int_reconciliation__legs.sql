{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
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

rate_cards as (

    select * from {{ ref('rate_cards') }}

),

parameters as (

    select minutes * 60 as pair_distance_seconds
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

pending_ttls as (

    select * from {{ ref('pending_ttls') }}

),

-- Read twice; kept, it would be written out once more than it needs to be.
records as not materialized (

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

-- A request that waits for its user lives as long as its kind allows. Pay-outs have no user who could be waited for.
by_own_type as not materialized (

    select
        records.*,
        case
            when records.status_class <> 'W' then records.status_class
            when records.flow = 'payout' then 'P'
            when
                records.placed_at + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
                <= {{ psp_now() }}
                then 'X'
            else 'W'
        end as own_class
    from records
    left join pending_ttls as by_type
        on records.flow = by_type.flow and records.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on records.flow = by_default.flow and by_default.transaction_type = 'default'

),

-- Vima does not say which kind of request it waits for: the PayShack leg does, the one that it will be paired with.
request_types as (

    select distinct on (vima.transaction_id)
        vima.transaction_id,
        payshack.transaction_type
    from by_own_type as vima
    cross join parameters
    inner join by_own_type as payshack
        on vima.match_space = payshack.match_space and payshack.source = 'payshack'
    inner join class_words
        on payshack.own_class = class_words.status_class
    where
        vima.source = 'vima'
        and vima.status_class = 'W'
        and vima.flow = 'payin'
        and {{ seconds_apart('vima', 'payshack') }} <= parameters.pair_distance_seconds
    order by
        vima.transaction_id asc,
        class_words.stake_rank asc,
        {{ seconds_apart('vima', 'payshack') }} asc,
        payshack.transaction_id asc

),

timed as (

    select
        by_own_type.*,
        case
            when by_own_type.status_class = 'W' and by_own_type.flow = 'payin'
                then
                    by_own_type.placed_at
                    + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
        end as waits_until
    from by_own_type
    left join request_types
        on by_own_type.transaction_id = request_types.transaction_id
    left join pending_ttls as by_type
        on
            by_own_type.flow = by_type.flow
            and coalesce(by_own_type.transaction_type, request_types.transaction_type) = by_type.transaction_type
    left join pending_ttls as by_default
        on by_own_type.flow = by_default.flow and by_default.transaction_type = 'default'

),

effective as (

    select
        timed.*,
        case
            when timed.waits_until is null then timed.own_class
            when timed.waits_until <= {{ psp_now() }} then 'X'
            else 'W'
        end as effective_class
    from timed

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
    coalesce(effective.updated_at, effective.placed_at) as updated_at,
    effective.transaction_type,
    case when effective.effective_class = 'W' then effective.waits_until end as next_change_at,
    effective.currency,
    effective.minor_unit_exponent,
    effective.amount,
    effective.requested_amount,
    effective.paid_amount,
    effective.refunded_amount,
    effective.fee,
    -- What the contract of its day charges, rounded half up to the minor unit.
    trim_scale(
        floor(
            effective.requested_amount * power(10::numeric, effective.minor_unit_exponent) * rate_cards.percent / 100
            + rate_cards.fixed_minor + 0.5
        ) / power(10::numeric, effective.minor_unit_exponent)
    ) as expected_fee,
    effective.utr,
    effective.rrn,
    effective.is_paid_amount_missing,
    effective.is_flow_assumed,
    effective.is_self_inconsistent,
    effective.is_status_regression
from effective
inner join class_words
    on effective.effective_class = class_words.status_class
left join rate_cards
    on
        effective.source = rate_cards.provider
        and effective.project = rate_cards.project
        and effective.flow = rate_cards.flow
        and effective.currency = rate_cards.currency
        and {{ in_force('rate_cards', business_date('effective.placed_at')) }}
