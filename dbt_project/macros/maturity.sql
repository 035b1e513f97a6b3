{#
    CTEs up to `expected`: of the payments that have not ended yet, how many will succeed and how many will end unpaid, by the hour
    in which they began. Stands on `outcomes`, `curve` and `trust`.
#}
{% macro expected_ends() %}
{# As if so many payments more had gone like those of the flow as a whole: keeps small groups from wild estimates. #}
{% set prior = 20 %}

-- What is not known to have ended, at its age by the source's own completeness: later changes have not been read. Kept,
-- so that the ages are worked out once and what follows is joined by them.
awaited as materialized (

    select
        {{ hour_of('outcomes.counted_at', 'utc') }} as hour_at,
        outcomes.business_date,
        outcomes.source,
        outcomes.project,
        outcomes.flow,
        outcomes.payment_method,
        outcomes.awaited_from,
        greatest(extract(epoch from trust.known_until - outcomes.counted_at), 0) as age_seconds,
        {{ age_bucket_of('extract(epoch from trust.known_until - outcomes.counted_at)') }} as age_bucket
    from trust
    inner join outcomes
        on
            trust.source = outcomes.source
            and trust.flow = outcomes.flow
            and trust.evaluated_at - interval '72 hours' < outcomes.awaited_since
    -- Says nothing new, but says it of values that are known when the index is chosen; a span with an end, because of one
    -- without end the planner expects a third of all rows.
    where
        outcomes.awaited_since > (select min(evaluated_at) - interval '72 hours' from trust)
        and outcomes.awaited_since < (select max(evaluated_at) + interval '100 years' from trust)

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
        round(
            coalesce(
                (whole.age_until_seconds - awaited.age_seconds)
                / nullif(whole.age_until_seconds - whole.age_seconds, 0),
                1
            ),
            4
        ) as part_to_come
    from awaited
    left join curve as own
        on
            awaited.source = own.source
            and awaited.flow = own.flow
            and awaited.project = own.project
            and awaited.payment_method = own.payment_method
            and own.age_bucket = awaited.age_bucket
    left join curve as whole
        on
            awaited.source = whole.source
            and awaited.flow = whole.flow
            and whole.project = '*'
            and whole.age_bucket = awaited.age_bucket

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

-- Kept: what is worked out here is asked for several times below.
chances as materialized (

    select
        hour_at,
        business_date,
        source,
        project,
        flow,
        payment_method,
        round(coalesce((own_success + {{ prior }} * whole_success / whole_total) / (own_total + {{ prior }}), 0), 9)
            as to_succeed,
        round(coalesce((own_unpaid + {{ prior }} * whole_unpaid / whole_total) / (own_total + {{ prior }}), 0), 9)
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

)
{% endmacro %}
