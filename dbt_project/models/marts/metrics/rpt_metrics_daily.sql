{{ config(materialized='view', group='reporting') }}

with

days as (

    select * from {{ ref('fct_metrics_daily') }}
    where clock = 'business'

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

)

select
    days.day as business_date,
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
    {{ trust_columns('days', 'trust', 'reconciliation') }}
from days
left join trust
    on days.source = trust.source and days.flow = trust.flow
left join reconciliation
    on
        days.day = reconciliation.business_date
        and days.project = reconciliation.project
        and days.flow = reconciliation.flow
        and days.currency = reconciliation.currency
