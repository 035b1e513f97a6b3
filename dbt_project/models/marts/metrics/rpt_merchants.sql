{{ config(materialized='view', group='reporting') }}

{# As if so many payments more had gone like the flow as a whole, so that three payments make no judgement. #}
{% set prior = 30 %}
{# Shares at which nothing is left of that part of the score. #}
{% set worst_returned_share = 0.05 %}
{% set worst_pending_share = 0.10 %}

with

segments as (

    select * from {{ ref('fct_segments_daily') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

),

-- Seven business dates that are over, and the seven before them: whole weeks, so that weekdays do not matter.
recent as (

    select
        segments.*,
        {{ business_date('trust.evaluated_at') }} as today,
        segments.business_date >= {{ business_date('trust.evaluated_at') }} - 7 as is_this_week
    from segments
    inner join trust
        on segments.source = trust.source and segments.flow = trust.flow
    where
        segments.business_date < {{ business_date('trust.evaluated_at') }}
        and segments.business_date >= {{ business_date('trust.evaluated_at') }} - 14

),

weeks as (

    select
        source,
        merchant,
        project,
        flow,
        currency,
        max(today) as today,
        coalesce(sum(created_count) filter (where is_this_week), 0)::bigint as created_count,
        coalesce(sum(created_count) filter (where not is_this_week), 0)::bigint as previous_created_count,
        coalesce(sum(success_count) filter (where is_this_week), 0)::bigint as success_count,
        coalesce(sum(failed_count) filter (where is_this_week), 0)::bigint as failed_count,
        coalesce(sum(expired_count) filter (where is_this_week), 0)::bigint as expired_count,
        coalesce(sum(pending_count) filter (where is_this_week), 0)::bigint as pending_count,
        coalesce(sum(refunded_count + chargeback_count) filter (where is_this_week), 0)::bigint as returned_count,
        coalesce(sum(success_amount) filter (where is_this_week), 0) as success_amount,
        coalesce(sum(success_amount) filter (where not is_this_week), 0) as previous_success_amount,
        coalesce(sum(fee_amount) filter (where is_this_week), 0) as fee_amount,
        max(business_date) as last_business_date
    from recent
    group by source, merchant, project, flow, currency

),

benchmarks as (

    select
        source,
        flow,
        sum(success_count)::numeric / nullif(sum(success_count + failed_count + expired_count), 0) as success_rate
    from weeks
    group by source, flow

),

risks as (

    select
        reconciliation.project,
        reconciliation.flow,
        reconciliation.currency,
        sum(reconciliation.value_at_risk) as value_at_risk
    from reconciliation
    group by reconciliation.project, reconciliation.flow, reconciliation.currency

),

rated as (

    select
        weeks.*,
        benchmarks.success_rate as benchmark_success_rate,
        round(
            weeks.success_count::numeric / nullif(weeks.success_count + weeks.failed_count + weeks.expired_count, 0), 6
        ) as payment_success_rate,
        round(weeks.created_count::numeric / nullif(weeks.previous_created_count, 0) - 1, 6) as created_change,
        round(weeks.returned_count::numeric / nullif(weeks.success_count, 0), 6) as returned_share,
        round(weeks.pending_count::numeric / nullif(weeks.created_count, 0), 6) as pending_share,
        -- Parts of the score, 0 to 1.
        coalesce(
            least(
                (weeks.success_count + {{ prior }} * benchmarks.success_rate)
                / (weeks.success_count + weeks.failed_count + weeks.expired_count + {{ prior }})
                / nullif(benchmarks.success_rate, 0),
                1
            ),
            1
        ) as success_part,
        coalesce(least(weeks.created_count::numeric / nullif(weeks.previous_created_count, 0), 1), 1) as volume_part,
        greatest(
            1 - coalesce(weeks.returned_count::numeric / nullif(weeks.success_count, 0), 0)
            / {{ worst_returned_share }},
            0
        ) as returned_part,
        greatest(
            1 - coalesce(weeks.pending_count::numeric / nullif(weeks.created_count, 0), 0)
            / {{ worst_pending_share }},
            0
        ) as pending_part
    from weeks
    left join benchmarks
        on weeks.source = benchmarks.source and weeks.flow = benchmarks.flow

),

scored as (

    select
        *,
        round(100 * (0.5 * success_part + 0.2 * volume_part + 0.2 * returned_part + 0.1 * pending_part), 1)
            as health_score
    from rated

)

select
    scored.source,
    scored.merchant,
    scored.project,
    scored.flow,
    scored.currency,
    scored.today - 7 as first_business_date,
    scored.today - 1 as last_business_date,
    scored.created_count,
    scored.previous_created_count,
    scored.created_change,
    scored.success_count,
    scored.failed_count,
    scored.expired_count,
    scored.payment_success_rate,
    round(scored.benchmark_success_rate, 6) as benchmark_success_rate,
    scored.success_amount,
    scored.previous_success_amount,
    scored.fee_amount,
    scored.returned_share,
    round(scored.success_part, 4) as success_part,
    round(scored.volume_part, 4) as volume_part,
    round(scored.returned_part, 4) as returned_part,
    round(scored.pending_part, 4) as pending_part,
    scored.health_score,
    case
        when scored.health_score >= 80 then 'healthy'
        when scored.health_score >= 60 then 'watch'
        else 'ailing'
    end as health,
    scored.today - scored.last_business_date - 1 as silent_days,
    trust.as_of,
    trust.lag_seconds,
    scored.pending_share,
    coalesce(risks.value_at_risk, 0) as open_value_at_risk
from scored
left join trust
    on scored.source = trust.source and scored.flow = trust.flow
left join risks
    on
        scored.project = risks.project
        and scored.flow = risks.flow
        and scored.currency = risks.currency
