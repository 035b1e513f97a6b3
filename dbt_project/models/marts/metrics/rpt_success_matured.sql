{{ config(materialized='view', group='reporting') }}

{# 95 % of a normal distribution lies within so many standard deviations. #}
{% set deviations = 1.96 %}

with

hours as (

    select * from {{ ref('fct_metrics_hourly') }}
    where clock = 'utc'

),

outcomes as (

    select * from {{ ref('fct_transaction_outcomes') }}

),

curve as (

    select * from {{ ref('rpt_completion_curve') }}

),

trust as (

    select
        *,
        least(coalesce(as_of, evaluated_at), evaluated_at) as known_until
    from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

),

{{ expected_ends() }},

-- Both in one list, and not joined: how few hours still wait for something is more than the planner could know.
measured as (

    select
        hour_at,
        business_date,
        source,
        project,
        flow,
        payment_method,
        created_count,
        success_count,
        failed_count,
        expired_count,
        pending_count,
        0 as awaited_count,
        null::numeric as success_more,
        null::numeric as unpaid_more,
        null::numeric as success_variance,
        null::numeric as unpaid_variance,
        null::numeric as covariance,
        null::numeric as likened_to
    from hours
    union all
    select
        hour_at,
        business_date,
        source,
        project,
        flow,
        payment_method,
        0 as created_count,
        0 as success_count,
        0 as failed_count,
        0 as expired_count,
        0 as pending_count,
        awaited_count,
        success_more,
        unpaid_more,
        success_variance,
        unpaid_variance,
        covariance,
        likened_to
    from expected

),

counted as (

    select
        hour_at,
        business_date,
        source,
        project,
        flow,
        payment_method,
        sum(created_count)::bigint as created_count,
        sum(success_count)::bigint as success_count,
        sum(failed_count)::bigint as failed_count,
        sum(expired_count)::bigint as expired_count,
        sum(pending_count)::bigint as pending_count,
        -- One row at most says these: a sum would keep a state of its own for each of the many hours without.
        max(awaited_count) as awaited_count,
        coalesce(max(success_more), 0) as success_more,
        coalesce(max(unpaid_more), 0) as unpaid_more,
        max(success_variance) as success_variance,
        max(unpaid_variance) as unpaid_variance,
        max(covariance) as covariance,
        max(likened_to) as likened_to
    from measured
    group by hour_at, business_date, source, project, flow, payment_method

),

risks as (

    select
        business_date,
        project,
        flow,
        sum(discrepancy_amount_count + discrepancy_status_count + missing_vima_count + missing_payshack_count)::bigint
            as open_break_count
    from reconciliation
    group by business_date, project, flow

),

matured as (

    select
        counted.*,
        trust.as_of,
        trust.lag_seconds,
        coalesce(risks.open_break_count, 0) as open_break_count,
        counted.success_more + counted.unpaid_more as ended_more,
        counted.success_count + counted.failed_count + counted.expired_count as ended_count,
        counted.success_count + counted.failed_count + counted.expired_count
        + counted.success_more + counted.unpaid_more as ended_expected,
        (counted.success_count + counted.success_more)
        / nullif(
            counted.success_count + counted.failed_count + counted.expired_count
            + counted.success_more + counted.unpaid_more,
            0
        ) as rate,
        -- The chances themselves were learnt from so many; all payments of the row share that error.
        1 + counted.awaited_count / counted.likened_to as learning_factor,
        round(
            extract(epoch from trust.known_until - counted.hour_at) / 60
        )::integer as age_minutes
    from counted
    left join trust
        on counted.source = trust.source and counted.flow = trust.flow
    left join risks
        on
            counted.business_date = risks.business_date
            and counted.project = risks.project
            and counted.flow = risks.flow

),

spread as (

    select
        *,
        coalesce(
            {{ deviations }} * sqrt(greatest(
                (
                    (1 - rate) * (1 - rate) * success_variance
                    + rate * rate * unpaid_variance
                    + 2 * rate * (1 - rate) * covariance
                ) * learning_factor,
                0
            )) / nullif(ended_expected, 0),
            0
        ) as half_width
    from matured

)

select
    hour_at as bucket_at,
    business_date,
    source,
    project,
    flow,
    payment_method,
    created_count,
    success_count,
    failed_count,
    expired_count,
    pending_count,
    awaited_count,
    round(success_more, 3) as expected_success_count,
    round(ended_more, 3) as expected_end_count,
    round(success_count::numeric / nullif(ended_count, 0), 6) as observed_rate,
    round(rate, 6) as matured_rate,
    -- Not further than the payments that are awaited could take it.
    round(
        greatest(rate - half_width, success_count::numeric / nullif(ended_count + awaited_count, 0)), 6
    ) as matured_low,
    round(
        least(rate + half_width, (success_count + awaited_count)::numeric / nullif(ended_count + awaited_count, 0)), 6
    ) as matured_high,
    round((success_count + success_more) / nullif(created_count, 0), 6) as matured_conversion_rate,
    age_minutes,
    awaited_count = 0 as is_mature,
    as_of,
    lag_seconds,
    round(pending_count::numeric / nullif(created_count, 0), 6) as pending_share,
    open_break_count
from spread
