{{ config(materialized='view', group='reporting') }}

with

hours as (

    select * from {{ ref('fct_metrics_hourly') }}
    where clock = 'utc'

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

)

select
    hours.hour_at as bucket_at,
    hours.business_date,
    hours.source,
    hours.project,
    hours.flow,
    hours.payment_method,
    hours.currency,
    {{- listed_measures('hours') }}
    {{- success_rates('hours') }},
    {{ seconds_percentile('hours', 0.5) }} as seconds_to_final_p50,
    {{ seconds_percentile('hours', 0.95) }} as seconds_to_final_p95,
    {{ seconds_percentile('hours', 0.99) }} as seconds_to_final_p99,
    {{ trust_columns('hours', 'trust', 'reconciliation') }}
from hours
left join trust
    on hours.source = trust.source and hours.flow = trust.flow
left join reconciliation
    on
        hours.business_date = reconciliation.business_date
        and hours.project = reconciliation.project
        and hours.flow = reconciliation.flow
        and hours.currency = reconciliation.currency
