{{ config(materialized='view', group='reporting') }}

with

days as (

    select * from {{ ref('fct_metrics_daily') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

)

select
    days.clock,
    days.day,
    days.source,
    days.project,
    days.flow,
    days.payment_method,
    days.currency,
    {{- listed_measures('days') }}
    {{- success_rates('days') }},
    {{ seconds_percentile('days', 0.5) }} as seconds_to_final_p50,
    {{ seconds_percentile('days', 0.95) }} as seconds_to_final_p95,
    {{ seconds_percentile('days', 0.99) }} as seconds_to_final_p99,
    trust.as_of,
    trust.lag_seconds,
    round(days.pending_count::numeric / nullif(days.created_count, 0), 6) as pending_share
from days
left join trust
    on days.source = trust.source and days.flow = trust.flow
