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

-- Imported without being kept: each use below finds what it needs by an index, or reads the table.
transactions as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

routing as (

    select * from {{ ref('project_routing') }}

),

class_words as not materialized (

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

pending_ttls as not materialized (

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

waiting as (

    select *
    from records
    where source = 'vima' and status_class = 'W' and flow = 'payin'

),

-- Vima does not say which kind of request it waits for: the PayShack leg does, the one that it will be paired with.
request_types as (

    select distinct on (waiting.transaction_id)
        waiting.transaction_id,
        payshack.transaction_type
    from waiting
    cross join parameters
    -- Column by column: of a composed key the planner knows nothing, and would sort a whole side for it.
    inner join transactions as payshack
        on
            waiting.reconciliation_key = payshack.reconciliation_key
            and waiting.flow = payshack.flow
            and waiting.project = payshack.project
            and payshack.source = 'payshack'
    left join pending_ttls as by_type
        on payshack.flow = by_type.flow and payshack.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on payshack.flow = by_default.flow and by_default.transaction_type = 'default'
    -- Every class has its word; asked as an inner join, the planner would expect one record in 200 to have one.
    left join class_words
        on
            class_words.status_class
            = case
                when payshack.status_class <> 'W' then payshack.status_class
                when
                    coalesce(payshack.created_at, payshack.first_seen_at)
                    + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
                    <= {{ psp_now() }}
                    then 'X'
                else 'W'
            end
    where {{ seconds_apart('waiting', 'payshack') }} <= parameters.pair_distance_seconds
    order by
        waiting.transaction_id asc,
        class_words.stake_rank asc,
        {{ seconds_apart('waiting', 'payshack') }} asc,
        payshack.transaction_id asc

),

-- A request that waits for its user lives as long as its kind allows. Pay-outs have no user who could be waited for.
timed as (

    select
        records.*,
        case
            when records.status_class = 'W' and records.flow = 'payin'
                then
                    records.placed_at
                    + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
        end as waits_until
    from records
    left join request_types
        on records.transaction_id = request_types.transaction_id
    left join pending_ttls as by_type
        on
            records.flow = by_type.flow
            and coalesce(records.transaction_type, request_types.transaction_type) = by_type.transaction_type
    left join pending_ttls as by_default
        on records.flow = by_default.flow and by_default.transaction_type = 'default'

),

effective as (

    select
        timed.*,
        case
            when timed.status_class <> 'W' then timed.status_class
            when timed.flow = 'payout' then 'P'
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
    effective.business_date,
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
    case
        when rate_cards.provider is not null
            then
                trim_scale(
                    floor(
                        effective.requested_amount * {{ minor_units('effective.minor_unit_exponent') }}
                        * rate_cards.percent / 100
                        + rate_cards.fixed_minor + 0.5
                    ) / {{ minor_units('effective.minor_unit_exponent') }}
                )
    end as expected_fee,
    effective.utr,
    effective.rrn,
    effective.is_paid_amount_missing,
    effective.is_flow_assumed,
    effective.is_self_inconsistent,
    effective.is_status_regression
from effective
left join class_words
    on effective.effective_class = class_words.status_class
left join rate_cards
    on
        effective.source = rate_cards.provider
        and effective.project = rate_cards.project
        and effective.flow = rate_cards.flow
        and effective.currency = rate_cards.currency
        and {{ in_force('rate_cards', 'effective.business_date') }}
