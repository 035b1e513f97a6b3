{{ config(materialized='view', group='reporting') }}

with

failures as (

    select * from {{ ref('fct_failures_hourly') }}

),

hours as (

    select * from {{ ref('fct_metrics_hourly') }}
    where clock = 'business'

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

)

select
    failures.business_date,
    extract(hour from failures.hour_at at time zone '{{ var("business_timezone") }}')::integer as business_hour,
    failures.hour_at,
    failures.source,
    failures.project,
    failures.flow,
    failures.payment_method,
    failures.currency,
    failures.status,
    failures.status_raw,
    failures.bank_handle,
    failures.failed_count,
    failures.failed_amount,
    hours.created_count as hour_created_count,
    trust.as_of,
    trust.lag_seconds,
    round(hours.pending_count::numeric / nullif(hours.created_count, 0), 6) as pending_share,
    coalesce(reconciliation.value_at_risk, 0) as open_value_at_risk
from failures
left join hours
    on
        failures.hour_at = hours.hour_at
        and failures.business_date = hours.business_date
        and failures.source = hours.source
        and failures.project = hours.project
        and failures.flow = hours.flow
        and failures.payment_method = hours.payment_method
        and failures.currency = hours.currency
left join trust
    on failures.source = trust.source and failures.flow = trust.flow
left join reconciliation
    on
        failures.business_date = reconciliation.business_date
        and failures.project = reconciliation.project
        and failures.flow = reconciliation.flow
        and failures.currency = reconciliation.currency
