{{ config(materialized='view', group='reporting') }}

{# As if so many payments more had gone like those of the flow as a whole: keeps small groups from wild estimates. #}
{% set prior = 20 %}
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

-- What is not known to have ended, at its age by the source's own completeness: later changes have not been read.
awaited as (

    select
        {{ hour_of('outcomes.counted_at', 'utc') }} as hour_at,
        outcomes.business_date,
        outcomes.source,
        outcomes.project,
        outcomes.flow,
        outcomes.payment_method,
        outcomes.awaited_from,
        greatest(extract(epoch from trust.known_until - outcomes.counted_at), 0) as age_seconds
    from trust
    inner join outcomes
        on
            trust.source = outcomes.source
            and trust.flow = outcomes.flow
            and trust.evaluated_at - interval '72 hours' < outcomes.awaited_since

),

-- What became of the payments of its kind, and of the flow as a whole, that had come to this age.
likened as (

    select
        awaited.*,
        coalesce(own.success_count, 0) as own_success_here,
        coalesce(own.failed_count, 0) as own_failed_here,
        coalesce(own.expired_count, 0) as own_expired_here,
        coalesce(own.success_after_count, 0) as own_success_after,
        coalesce(own.failed_after_count, 0) as own_failed_after,
        coalesce(own.expired_after_count, 0) as own_expired_after,
        coalesce(own.open_count, 0) as own_open,
        coalesce(whole.success_count, 0) as whole_success_here,
        coalesce(whole.failed_count, 0) as whole_failed_here,
        coalesce(whole.expired_count, 0) as whole_expired_here,
        coalesce(whole.success_after_count, 0) as whole_success_after,
        coalesce(whole.failed_after_count, 0) as whole_failed_after,
        coalesce(whole.expired_after_count, 0) as whole_expired_after,
        coalesce(whole.open_count, 0) as whole_open,
        -- Of those that ended in the bucket of this very age, the part that is still to come.
        coalesce(
            (whole.age_until_seconds - awaited.age_seconds) / nullif(whole.age_until_seconds - whole.age_seconds, 0), 1
        ) as part_to_come
    from awaited
    left join curve as own
        on
            awaited.source = own.source
            and awaited.flow = own.flow
            and awaited.project = own.project
            and awaited.payment_method = own.payment_method
            and own.age_bucket = {{ age_bucket_of('awaited.age_seconds') }}
    left join curve as whole
        on
            awaited.source = whole.source
            and awaited.flow = whole.flow
            and whole.project = '*'
            and whole.age_bucket = {{ age_bucket_of('awaited.age_seconds') }}

),

remaining as (

    select
        *,
        own_success_after + own_success_here * part_to_come as own_success,
        own_failed_after + own_failed_here * part_to_come as own_failed,
        own_expired_after + own_expired_here * part_to_come as own_expired,
        whole_success_after + whole_success_here * part_to_come as whole_success,
        whole_failed_after + whole_failed_here * part_to_come as whole_failed,
        whole_expired_after + whole_expired_here * part_to_come as whole_expired
    from likened

),

-- Who waits for the user will expire and cannot stay open; what the provider works on may stay open and cannot expire.
alike as (

    select
        *,
        case awaited_from when 'user' then own_failed + own_expired else own_failed end as own_unpaid,
        case awaited_from when 'user' then whole_failed + whole_expired else whole_failed end as whole_unpaid,
        own_success + own_failed + case awaited_from when 'user' then own_expired else own_open end as own_total,
        nullif(
            whole_success + whole_failed + case awaited_from when 'user' then whole_expired else whole_open end, 0
        ) as whole_total
    from remaining

),

chances as (

    select
        *,
        coalesce((own_success + {{ prior }} * whole_success / whole_total) / (own_total + {{ prior }}), 0)
            as to_succeed,
        coalesce((own_unpaid + {{ prior }} * whole_unpaid / whole_total) / (own_total + {{ prior }}), 0)
            as to_end_unpaid,
        own_total + {{ prior }} as likened_to
    from alike

),

expected as (

    select
        hour_at,
        business_date,
        source,
        project,
        flow,
        payment_method,
        count(*) as awaited_count,
        sum(to_succeed) as success_more,
        sum(to_end_unpaid) as unpaid_more,
        sum(to_succeed * (1 - to_succeed)) as success_variance,
        sum(to_end_unpaid * (1 - to_end_unpaid)) as unpaid_variance,
        sum(to_succeed * to_end_unpaid) as covariance,
        avg(likened_to) as likened_to
    from chances
    group by hour_at, business_date, source, project, flow, payment_method

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
        sum(pending_count)::bigint as pending_count
    from hours
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
        coalesce(expected.awaited_count, 0) as awaited_count,
        coalesce(expected.success_more, 0) as success_more,
        coalesce(expected.success_more + expected.unpaid_more, 0) as ended_more,
        counted.success_count + counted.failed_count + counted.expired_count as ended_count,
        counted.success_count + counted.failed_count + counted.expired_count
        + coalesce(expected.success_more + expected.unpaid_more, 0) as ended_expected,
        (counted.success_count + coalesce(expected.success_more, 0))
        / nullif(
            counted.success_count + counted.failed_count + counted.expired_count
            + coalesce(expected.success_more + expected.unpaid_more, 0),
            0
        ) as rate,
        expected.success_variance,
        expected.unpaid_variance,
        expected.covariance,
        -- The chances themselves were learnt from so many; all payments of the row share that error.
        1 + expected.awaited_count / expected.likened_to as learning_factor,
        round(
            extract(epoch from trust.known_until - counted.hour_at) / 60
        )::integer as age_minutes
    from counted
    left join expected
        on
            counted.hour_at = expected.hour_at
            and counted.business_date = expected.business_date
            and counted.source = expected.source
            and counted.project = expected.project
            and counted.flow = expected.flow
            and counted.payment_method = expected.payment_method
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
