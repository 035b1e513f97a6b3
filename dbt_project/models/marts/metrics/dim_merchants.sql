{{ config(materialized='view', group='reporting') }}

with

segments as (

    select * from {{ ref('fct_segments_daily') }}

),

client_projects as (

    select * from {{ ref('client_projects') }}

)

select
    segments.source || ':' || segments.merchant as merchant_key,
    segments.source,
    segments.merchant,
    -- A merchant may have traded under several projects; the newest one is its own.
    (array_agg(segments.project order by segments.business_date desc, segments.created_count desc))[1] as project,
    segments.source = 'payshack' and bool_and(client_projects.client_name is null) as is_client_unmapped,
    array_to_string(array_agg(distinct segments.flow order by segments.flow), ', ') as flows,
    array_to_string(array_agg(distinct segments.currency order by segments.currency), ', ') as currencies,
    min(segments.business_date) as first_business_date,
    max(segments.business_date) as last_business_date,
    sum(segments.created_count)::bigint as created_count
from segments
left join client_projects
    on segments.merchant = client_projects.client_name
group by segments.source, segments.merchant
