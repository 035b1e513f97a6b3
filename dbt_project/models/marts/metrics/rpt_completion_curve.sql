{{ config(materialized='view', group='reporting') }}

with

completions as (

    select * from {{ ref('fct_completions_daily') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

ages (age_bucket, age_seconds, age_until_seconds) as (

    {{ age_buckets() }}

),

-- Days that are over, none older than four weeks: how payments complete changes with banks and methods.
learnt as (

    select completions.*
    from completions
    inner join trust
        on completions.source = trust.source and completions.flow = trust.flow
    where
        completions.business_date < {{ business_date('trust.evaluated_at') }}
        and completions.business_date >= {{ business_date('trust.evaluated_at') }} - {{ var('curve_days') }}

),

-- Each project and method by itself, and the flow as a whole under the name *, for those that are still too few.
pooled as (

    select
        source,
        flow,
        project,
        payment_method,
        age_bucket,
        success_count,
        failed_count,
        expired_count,
        open_count
    from learnt
    union all
    select
        source,
        flow,
        '*' as project,
        '*' as payment_method,
        age_bucket,
        success_count,
        failed_count,
        expired_count,
        open_count
    from learnt

),

groups as (

    select
        source,
        flow,
        project,
        payment_method,
        sum(success_count + failed_count + expired_count + open_count)::bigint as learnt_count,
        sum(open_count)::bigint as open_count
    from pooled
    group by source, flow, project, payment_method

),

counted as (

    select
        source,
        flow,
        project,
        payment_method,
        age_bucket,
        sum(success_count)::bigint as success_count,
        sum(failed_count)::bigint as failed_count,
        sum(expired_count)::bigint as expired_count
    from pooled
    where age_bucket >= 0
    group by source, flow, project, payment_method, age_bucket

),

dense as (

    select
        groups.source,
        groups.flow,
        groups.project,
        groups.payment_method,
        groups.learnt_count,
        groups.open_count,
        ages.age_bucket,
        ages.age_seconds,
        ages.age_until_seconds,
        coalesce(counted.success_count, 0) as success_count,
        coalesce(counted.failed_count, 0) as failed_count,
        coalesce(counted.expired_count, 0) as expired_count
    from groups
    cross join ages
    left join counted
        on
            groups.source = counted.source
            and groups.flow = counted.flow
            and groups.project = counted.project
            and groups.payment_method = counted.payment_method
            and ages.age_bucket = counted.age_bucket

)

select
    source,
    flow,
    project,
    payment_method,
    age_bucket,
    age_seconds,
    age_until_seconds,
    learnt_count,
    success_count,
    failed_count,
    expired_count,
    coalesce(sum(success_count) over later, 0)::bigint as success_after_count,
    coalesce(sum(failed_count) over later, 0)::bigint as failed_after_count,
    coalesce(sum(expired_count) over later, 0)::bigint as expired_after_count,
    open_count,
    round(
        (sum(success_count + failed_count + expired_count) over until_here)::numeric / nullif(learnt_count, 0), 6
    ) as ended_share,
    round((sum(success_count) over until_here)::numeric / nullif(learnt_count, 0), 6) as success_share
from dense
window
    later as (
        partition by source, flow, project, payment_method
        order by age_bucket
        rows between 1 following and unbounded following
    ),
    until_here as (
        partition by source, flow, project, payment_method
        order by age_bucket
        rows between unbounded preceding and current row
    )
