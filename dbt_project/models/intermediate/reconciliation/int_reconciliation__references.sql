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

-- Every question below is a join by equality: an OR between two columns, or a list from a subquery, would be searched
-- through once per record.
leg_references as (

    select distinct
        legs.transaction_id,
        legs.source,
        reference.value
    from legs
    cross join lateral unnest(array[legs.utr, legs.rrn]) as reference (value)
    where reference.value is not null

),

shared as (

    select
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        vima.value
    from leg_references as vima
    inner join leg_references as payshack
        on vima.value = payshack.value and payshack.source = 'payshack'
    where vima.source = 'vima'

),

-- What the key has left alone, and what it may not give away.
paired as (

    select vima_transaction_id as transaction_id
    from pairs
    union all
    select payshack_transaction_id
    from pairs

),

sharing as (

    select vima_transaction_id as transaction_id
    from shared
    union
    select payshack_transaction_id
    from shared

),

unpaired as (

    select legs.*
    from sharing
    inner join legs
        on sharing.transaction_id = legs.transaction_id
    where
        not exists (
            select 1
            from paired
            where paired.transaction_id = legs.transaction_id
        )

),

-- Only a success without a counterpart, or a side of which no record has one.
alone as (

    select *
    from unpaired
    where effective_class = 'S'
    union all
    select unpaired.*
    from unpaired
    cross join parameters
    where
        unpaired.effective_class <> 'S'
        and not exists (
            select 1
            from legs as siblings
            where
                siblings.match_space = unpaired.match_space
                and siblings.transaction_id <> unpaired.transaction_id
                and (
                    siblings.source = unpaired.source
                    or {{ seconds_apart('siblings', 'unpaired') }} <= parameters.pair_distance_seconds
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

-- A reference on two successes of one source says of neither what it belongs to. Asked once per candidate and column,
-- by index.
judged as (

    select
        candidates.*,
        {% for column in ['utr', 'rrn'] -%}
        exists (
            select 1
            from transactions as siblings
            where
                siblings.{{ column }} = candidates.value
                and siblings.flow = candidates.flow
                and siblings.status_class = 'S'
                and siblings.transaction_id not in (candidates.vima_transaction_id, candidates.payshack_transaction_id)
                and coalesce(siblings.created_at, siblings.first_seen_at)
                between candidates.placed_at - candidates.reference_window
                and candidates.placed_at + candidates.reference_window
        ){% if not loop.last %}
        or {% endif %}
        {%- endfor %}
            as is_shared
    from candidates

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
