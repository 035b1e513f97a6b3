{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

{# A table of its own, so that the planner knows how few they are: of a CTE it would assume the opposite. #}

with

parameters as (

    select minutes * interval '1 minute' as pair_distance
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

sides as (

    select
        match_space,
        -- Any record of the order may move what becomes of the others.
        min(next_change_at) as next_change_at,
        count(*) filter (where source = 'vima') as vima_count,
        count(*) filter (where source = 'payshack') as payshack_count,
        -- A record without a creation time is at no distance.
        max(created_at) - min(created_at) as distance
    from {{ ref('int_reconciliation__legs') }}
    where is_reconciled
    group by match_space
    having count(*) > 1

)

select
    sides.match_space,
    sides.next_change_at
from sides
cross join parameters
where sides.vima_count > 1 or sides.payshack_count > 1 or sides.distance > parameters.pair_distance
