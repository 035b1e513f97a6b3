{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

{% set is_free -%}
    not (
            candidates.vima_number = any(walk.used_vima) or candidates.payshack_number = any(walk.used_payshack)
        )
{%- endset %}

with recursive

-- Read several times: kept, all of them would be written out once more.
legs as not materialized (

    select * from {{ ref('int_reconciliation__legs') }}
    where is_reconciled and order_key is not null

),

parameters as (

    select minutes * 60 as pair_distance_seconds
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

-- Nearly every order has one record a side and no choice; only the others need to be put in order.
crowded as not materialized (

    select * from {{ ref('int_reconciliation__crowded') }}

),

plain as (

    select
        vima.match_space,
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id
    from legs as vima
    inner join legs as payshack
        on vima.match_space = payshack.match_space
    where
        vima.source = 'vima'
        and payshack.source = 'payshack'
        and not exists (
            select 1
            from crowded
            where crowded.match_space = vima.match_space
        )

),

numbered as (

    select
        legs.*,
        row_number() over (
            partition by legs.match_space, legs.source, legs.effective_class
            order by legs.placed_at asc, legs.transaction_id asc
        ) as class_number
    from legs
    inner join crowded
        on legs.match_space = crowded.match_space

),

possible as (

    select
        vima.match_space,
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        vima.effective_class = 'S' and payshack.effective_class = 'S' as is_money_pair,
        bool_or(vima.effective_class = 'S' and payshack.effective_class = 'S')
            over (partition by vima.match_space) as has_money_pair,
        vima.class_number as vima_number,
        payshack.class_number as payshack_number,
        vima.stake_rank as vima_stake_rank,
        payshack.stake_rank as payshack_stake_rank,
        {{ seconds_apart('vima', 'payshack') }} as distance_seconds
    from numbered as vima
    cross join parameters
    inner join numbered as payshack
        on vima.match_space = payshack.match_space and payshack.source = 'payshack'
    where
        vima.source = 'vima'
        and {{ seconds_apart('vima', 'payshack') }} <= parameters.pair_distance_seconds

),

-- Where money met money, only such pairs; elsewhere the one pair with most at stake. Symmetric in the two sides.
candidates as (

    select
        possible.*,
        row_number() over (
            partition by possible.match_space
            order by
                case
                    when not possible.has_money_pair
                        then least(possible.vima_stake_rank, possible.payshack_stake_rank)
                end asc,
                case
                    when not possible.has_money_pair
                        then greatest(possible.vima_stake_rank, possible.payshack_stake_rank)
                end asc,
                possible.distance_seconds asc,
                possible.vima_transaction_id asc,
                possible.payshack_transaction_id asc
        ) as candidate_number,
        count(*) over (partition by possible.match_space) as candidate_count
    from possible
    where
        not possible.has_money_pair
        -- A key that stands on hundreds of payments is no key; its pairs are sought among neighbours, so that it cannot
        -- hold up the others.
        or (possible.is_money_pair and abs(possible.vima_number - possible.payshack_number) <= 20)

),

-- Several successes on a side: nearest first, each once, along the ordered candidates.
walk as (

    select
        match_space,
        candidate_number,
        vima_transaction_id,
        payshack_transaction_id,
        true as is_taken,
        array[vima_number] as used_vima,
        array[payshack_number] as used_payshack
    from candidates
    where has_money_pair and candidate_count > 1 and candidate_number = 1

    union all

    select
        candidates.match_space,
        candidates.candidate_number,
        candidates.vima_transaction_id,
        candidates.payshack_transaction_id,
        {{ is_free }} as is_taken,
        case when {{ is_free }} then walk.used_vima || candidates.vima_number else walk.used_vima end as used_vima,
        case when {{ is_free }} then walk.used_payshack || candidates.payshack_number else walk.used_payshack end
            as used_payshack
    from walk
    inner join candidates
        on
            walk.match_space = candidates.match_space
            and candidates.candidate_number = walk.candidate_number + 1

),

taken as (

    select
        match_space,
        vima_transaction_id,
        payshack_transaction_id,
        candidate_number
    from candidates
    where candidate_number = 1
    union all
    select
        match_space,
        vima_transaction_id,
        payshack_transaction_id,
        candidate_number
    from walk
    where is_taken and candidate_number > 1

)

select
    match_space,
    vima_transaction_id,
    payshack_transaction_id,
    1 as pair_number
from plain
union all
select
    match_space,
    vima_transaction_id,
    payshack_transaction_id,
    row_number() over (partition by match_space order by candidate_number asc) as pair_number
from taken
