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

sides as (

    select
        match_space,
        count(*) filter (where source = 'vima') as vima_count,
        count(*) filter (where source = 'payshack') as payshack_count
    from {{ ref('int_reconciliation__legs') }}
    where is_reconciled
    group by match_space
    having count(*) > 1

),

first_pairs as not materialized (

    select match_space
    from {{ ref('int_reconciliation__pairs') }}
    where pair_number = 1

),

tied as (

    select
        vima_match_space,
        payshack_match_space
    from {{ ref('int_reconciliation__references') }}
    where not is_ambiguous

)

select sides.match_space
from sides
left join first_pairs
    on sides.match_space = first_pairs.match_space
where sides.vima_count > 1 or sides.payshack_count > 1 or first_pairs.match_space is null
union
select vima_match_space as match_space
from tied
union
select payshack_match_space as match_space
from tied
