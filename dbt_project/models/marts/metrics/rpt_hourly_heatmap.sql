{{ config(materialized='view', group='reporting') }}

with

hours as (

    select * from {{ ref('fct_metrics_hourly') }}
    where clock = 'business'

),

reconciliation as (

    select * from {{ ref('fct_reconciliation_hourly') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

-- Methods are added up: breaks know none.
counted as (

    select
        business_date,
        hour_at,
        source,
        project,
        flow,
        currency,
        sum(created_count)::bigint as created_count,
        sum(success_count)::bigint as success_count,
        sum(failed_count)::bigint as failed_count,
        sum(pending_count)::bigint as pending_count,
        sum(expired_count)::bigint as expired_count,
        sum(created_amount) as amount,
        sum(success_amount) as success_amount
    from hours
    group by business_date, hour_at, source, project, flow, currency

)

select
    counted.business_date,
    extract(isodow from counted.business_date)::integer as weekday,
    extract(hour from counted.hour_at at time zone '{{ var("business_timezone") }}')::integer as hour,
    counted.hour_at,
    counted.source,
    counted.project,
    counted.flow,
    counted.currency,
    counted.created_count,
    counted.success_count,
    counted.failed_count,
    counted.pending_count,
    counted.expired_count,
    counted.amount,
    counted.success_amount,
    {{- success_rates('counted') }},
    coalesce(reconciliation.comparable_count, 0) as comparable_count,
    coalesce(reconciliation.break_count, 0) as break_count,
    trust.as_of,
    trust.lag_seconds,
    round(counted.pending_count::numeric / nullif(counted.created_count, 0), 6) as pending_share,
    coalesce(reconciliation.value_at_risk, 0) as open_value_at_risk
from counted
left join reconciliation
    on
        counted.business_date = reconciliation.business_date
        and counted.hour_at = reconciliation.hour_at
        and counted.project = reconciliation.project
        and counted.flow = reconciliation.flow
        and counted.currency = reconciliation.currency
left join trust
    on counted.source = trust.source and counted.flow = trust.flow
