{{
    config(
        materialized='table',
        unlogged=true,
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['match_space']}],
    )
}}

with recursive

legs as (

    select * from {{ ref('int_reconciliation__legs') }}
    where is_reconciled and order_key is not null

),

parameters as (

    select minutes * 60 as pair_distance_seconds
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

possible as (

    select
        vima.match_space,
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        vima.effective_class = 'S' and payshack.effective_class = 'S' as is_money_pair,
        bool_or(vima.effective_class = 'S' and payshack.effective_class = 'S')
            over (partition by vima.match_space) as has_money_pair,
        vima.stake_rank as vima_stake_rank,
        payshack.stake_rank as payshack_stake_rank,
        -- A side without a creation time pairs by key alone.
        coalesce(abs(extract(epoch from vima.created_at - payshack.created_at)), 0) as distance_seconds
    from legs as vima
    inner join legs as payshack
        on vima.match_space = payshack.match_space and payshack.source = 'payshack'
    cross join parameters
    where
        vima.source = 'vima'
        and coalesce(abs(extract(epoch from vima.created_at - payshack.created_at)), 0)
        <= parameters.pair_distance_seconds

),

-- Where money met money, only such pairs; elsewhere the one pair with most at stake. Symmetric in the two sides.
candidates as (

    select
        possible.*,
        row_number() over (
            partition by possible.match_space
            order by
                case when not possible.has_money_pair then least(possible.vima_stake_rank, possible.payshack_stake_rank) end,
                case when not possible.has_money_pair then greatest(possible.vima_stake_rank, possible.payshack_stake_rank) end,
                possible.distance_seconds asc,
                possible.vima_transaction_id asc,
                possible.payshack_transaction_id asc
        ) as candidate_number
    from possible
    where possible.is_money_pair or not possible.has_money_pair

),

-- Nearest first, each leg once: a walk along the ordered candidates of the few spaces that have several.
walk as (

    select
        match_space,
        candidate_number,
        vima_transaction_id,
        payshack_transaction_id,
        has_money_pair,
        distance_seconds,
        true as is_taken,
        array[vima_transaction_id] as used_vima,
        array[payshack_transaction_id] as used_payshack
    from candidates
    where candidate_number = 1

    union all

    select
        candidates.match_space,
        candidates.candidate_number,
        candidates.vima_transaction_id,
        candidates.payshack_transaction_id,
        candidates.has_money_pair,
        candidates.distance_seconds,
        not (
            candidates.vima_transaction_id = any(walk.used_vima)
            or candidates.payshack_transaction_id = any(walk.used_payshack)
        ) as is_taken,
        case
            when
                candidates.vima_transaction_id = any(walk.used_vima)
                or candidates.payshack_transaction_id = any(walk.used_payshack)
                then walk.used_vima
            else walk.used_vima || candidates.vima_transaction_id
        end as used_vima,
        case
            when
                candidates.vima_transaction_id = any(walk.used_vima)
                or candidates.payshack_transaction_id = any(walk.used_payshack)
                then walk.used_payshack
            else walk.used_payshack || candidates.payshack_transaction_id
        end as used_payshack
    from walk
    inner join candidates
        on
            walk.match_space = candidates.match_space
            and candidates.candidate_number = walk.candidate_number + 1
    where walk.has_money_pair

)

select
    match_space,
    vima_transaction_id,
    payshack_transaction_id,
    row_number() over (partition by match_space order by candidate_number) as pair_number
from walk
where is_taken
