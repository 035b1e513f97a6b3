{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

with

-- Read several times: kept, all of them would be written out once more.
legs as not materialized (

    select * from {{ ref('int_reconciliation__legs') }}
    where is_reconciled

),

pairs as (

    select * from {{ ref('int_reconciliation__pairs') }}

),

-- Imported without being kept: each use finds its few rows by an index.
transactions as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

parameters as (

    select
        max(minutes) filter (where parameter = 'pair_distance') * 60 as pair_distance_seconds,
        max(minutes) filter (where parameter = 'reference_window') * interval '1 minute' as reference_window
    from {{ ref('reconciliation_parameters') }}

),

-- Vima's records are looked at first: few of them, if any, bring a reference.
vima_references as (

    select distinct
        legs.transaction_id,
        reference.value
    from legs
    cross join lateral unnest(array[legs.utr, legs.rrn]) as reference (value)
    where legs.source = 'vima' and reference.value is not null and coalesce(legs.utr, legs.rrn) is not null

),

payshack_references as (

    select distinct
        legs.transaction_id,
        reference.value
    from legs
    cross join lateral unnest(array[legs.utr, legs.rrn]) as reference (value)
    where legs.source = 'payshack' and reference.value = any(array(select vima_references.value from vima_references))

),

shared as (

    select distinct
        vima_references.transaction_id as vima_transaction_id,
        payshack_references.transaction_id as payshack_transaction_id,
        vima_references.value
    from vima_references
    inner join payshack_references
        on vima_references.value = payshack_references.value

),

-- Only what the key has left alone: a success without a counterpart, or a side of which no record has one.
alone as (

    select legs.*
    from legs
    cross join parameters
    where
        legs.transaction_id = any(array(
            select shared.vima_transaction_id from shared
            union all
            select shared.payshack_transaction_id from shared
        ))
        and not exists (
            select 1
            from pairs
            where legs.transaction_id in (pairs.vima_transaction_id, pairs.payshack_transaction_id)
        )
        and (
            legs.effective_class = 'S'
            or not exists (
                select 1
                from legs as siblings
                where
                    legs.match_space = siblings.match_space
                    and legs.transaction_id <> siblings.transaction_id
                    and (
                        siblings.source = legs.source
                        or {{ seconds_apart('siblings', 'legs') }} <= parameters.pair_distance_seconds
                    )
            )
        )

),

candidates as (

    select
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        vima.match_space as vima_match_space,
        payshack.match_space as payshack_match_space,
        vima.flow,
        vima.placed_at,
        shared.value,
        parameters.reference_window
    from shared
    cross join parameters
    inner join alone as vima
        on shared.vima_transaction_id = vima.transaction_id
    inner join alone as payshack
        on
            shared.payshack_transaction_id = payshack.transaction_id
            and vima.flow = payshack.flow
            and vima.project = payshack.project
            and vima.currency = payshack.currency
    where {{ seconds_apart('vima', 'payshack') }} <= parameters.pair_distance_seconds

),

-- A reference on two successes of one source says of neither what it belongs to.
judged as (

    select
        candidates.*,
        siblings.transaction_id is not null as is_shared
    from candidates
    left join transactions as siblings
        on
            (candidates.value = siblings.utr or candidates.value = siblings.rrn)
            and candidates.flow = siblings.flow
            and siblings.status_class = 'S'
            and siblings.transaction_id not in (candidates.vima_transaction_id, candidates.payshack_transaction_id)
            and coalesce(siblings.created_at, siblings.first_seen_at)
            between candidates.placed_at - candidates.reference_window
            and candidates.placed_at + candidates.reference_window

),

possible as (

    select
        vima_transaction_id,
        payshack_transaction_id,
        vima_match_space,
        payshack_match_space,
        bool_or(is_shared) as is_shared
    from judged
    group by vima_transaction_id, payshack_transaction_id, vima_match_space, payshack_match_space

)

select
    vima_transaction_id,
    payshack_transaction_id,
    vima_match_space,
    payshack_match_space,
    is_shared
    or count(*) over (partition by vima_transaction_id) > 1
    or count(*) over (partition by payshack_transaction_id) > 1
        as is_ambiguous
from possible
