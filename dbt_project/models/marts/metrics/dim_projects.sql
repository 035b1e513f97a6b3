{{ config(materialized='view', group='reporting') }}

with

segments as (

    select * from {{ ref('fct_segments_daily') }}

),

routing as (

    select * from {{ ref('project_routing') }}

),

seen as (

    select
        project,
        bool_or(source = 'vima') as is_seen_by_vima,
        bool_or(source = 'payshack') as is_seen_by_payshack,
        count(distinct merchant) as merchant_count,
        min(business_date) as first_business_date,
        max(business_date) as last_business_date
    from segments
    group by project

),

known as (

    select
        coalesce(routing.project, seen.project) as project,
        routing.provider,
        coalesce(routing.is_reconciled, false) as is_reconciled,
        routing.project is not null as is_routed,
        routing.note,
        coalesce(seen.is_seen_by_vima, false) as is_seen_by_vima,
        coalesce(seen.is_seen_by_payshack, false) as is_seen_by_payshack,
        coalesce(seen.merchant_count, 0) as merchant_count,
        seen.first_business_date,
        seen.last_business_date
    from routing
    full outer join seen
        on routing.project = seen.project

)

select
    project,
    provider,
    is_reconciled,
    is_routed,
    -- Both sources tell of the same payments where both know the project: the leading one counts each once.
    case when is_seen_by_vima or not is_seen_by_payshack then 'vima' else 'payshack' end as leading_source,
    is_seen_by_vima,
    is_seen_by_payshack,
    merchant_count,
    first_business_date,
    last_business_date,
    note
from known
