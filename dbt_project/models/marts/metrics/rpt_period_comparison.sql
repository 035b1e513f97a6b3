{{ config(materialized='view', group='reporting') }}

{% set zone = var('business_timezone') %}
{% set measures = [
    'created_count', 'success_count', 'failed_count', 'expired_count', 'pending_count', 'created_amount',
    'success_amount', 'returned_amount',
] %}

with

trust as (

    select * from {{ ref('rpt_trust') }}

),

days as (

    select * from {{ ref('fct_metrics_daily') }}
    where clock = 'business'

),

buckets as (

    select * from {{ ref('fct_metrics_5m') }}

),

outcomes as (

    select * from {{ ref('fct_transaction_outcomes') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

),

kinds (period, comparison, shift) as (

    values
    ('day', 'previous', interval '1 day'),
    ('day', 'same_weekday', interval '7 days'),
    ('week', 'previous', interval '7 days'),
    ('month', 'previous', interval '1 month')

),

-- Both spans of a comparison are cut at the same minute: the one up to which the source is complete.
cuts as (

    select
        source,
        flow,
        as_of,
        lag_seconds,
        date_trunc('minute', least(coalesce(as_of, evaluated_at), evaluated_at) at time zone '{{ zone }}') as cut
    from trust

),

spans as (

    select
        cuts.source,
        cuts.flow,
        kinds.period,
        kinds.comparison,
        sides.side,
        date_trunc(kinds.period, cuts.cut) - sides.back * kinds.shift as begins,
        cuts.cut - sides.back * kinds.shift as ends
    from cuts
    cross join kinds
    cross join (values ('current', 0), ('base', 1)) as sides (side, back)

),

placed as (

    select
        source,
        flow,
        period,
        comparison,
        side,
        begins::date as first_date,
        ends::date as last_date,
        date_trunc('day', ends) at time zone '{{ zone }}' as last_day_begins_at,
        ends at time zone '{{ zone }}' as ends_at,
        {{ bucket_of("ends at time zone '" ~ zone ~ "'") }} as last_bucket_at
    from spans

),

-- Whole days, then the whole five minutes of the last day, then the payments of the last, unfinished five minutes.
measured as (

    select
        placed.period,
        placed.comparison,
        placed.side,
        days.source,
        days.project,
        days.flow,
        days.payment_method,
        days.currency,
        {{ listed('days', measures) }}
    from placed
    inner join days
        on
            placed.source = days.source
            and placed.flow = days.flow
            and placed.first_date <= days.day
            and placed.last_date > days.day
    union all
    select
        placed.period,
        placed.comparison,
        placed.side,
        buckets.source,
        buckets.project,
        buckets.flow,
        buckets.payment_method,
        buckets.currency,
        {{ listed('buckets', measures) }}
    from placed
    -- A day at most, span by span and by index, which is why it cannot be a CTE.
    cross join lateral ({{ buckets_of_last_day('placed') }}) as buckets  -- noqa: ST05
    union all
    select
        placed.period,
        placed.comparison,
        placed.side,
        outcomes.source,
        outcomes.project,
        outcomes.flow,
        outcomes.payment_method,
        outcomes.currency,
        1 as created_count,
        (outcomes.status in ('success', 'refunded', 'chargeback'))::integer as success_count,
        (outcomes.status = 'failed')::integer as failed_count,
        (outcomes.status = 'expired')::integer as expired_count,
        (outcomes.status = 'pending')::integer as pending_count,
        coalesce(outcomes.amount, 0) as created_amount,
        case when outcomes.status in ('success', 'refunded', 'chargeback') then outcomes.amount else 0 end
            as success_amount,
        case when outcomes.status in ('refunded', 'chargeback') then outcomes.amount else 0 end as returned_amount
    from placed
    inner join outcomes
        on
            placed.source = outcomes.source
            and placed.flow = outcomes.flow
            and placed.last_bucket_at = outcomes.bucket_at
            and placed.ends_at > outcomes.counted_at

),

compared as (

    select
        period,
        comparison,
        source,
        project,
        flow,
        payment_method,
        currency,
        {{ compared_sums(measures) }}
    from measured
    group by period, comparison, source, project, flow, payment_method, currency

),

risks as (

    select
        placed.period,
        placed.comparison,
        placed.source,
        reconciliation.project,
        reconciliation.flow,
        reconciliation.currency,
        sum(reconciliation.value_at_risk) as value_at_risk
    from placed
    inner join reconciliation
        on
            placed.flow = reconciliation.flow
            and placed.first_date <= reconciliation.business_date
            and placed.last_date >= reconciliation.business_date
    where placed.side = 'current'
    group by
        placed.period, placed.comparison, placed.source, reconciliation.project, reconciliation.flow,
        reconciliation.currency

)

select
    compared.period,
    compared.comparison,
    compared.source,
    compared.project,
    compared.flow,
    compared.payment_method,
    compared.currency,
    current_span.first_date::timestamp at time zone '{{ zone }}' as current_begins_at,
    current_span.ends_at as current_ends_at,
    base_span.first_date::timestamp at time zone '{{ zone }}' as base_begins_at,
    base_span.ends_at as base_ends_at,
    {{ listed('compared', measures, 'current_') }},
    {{ success_of_ended('compared', 'current_') }} as current_payment_success_rate,
    {{ listed('compared', measures, 'base_') }},
    {{ success_of_ended('compared', 'base_') }} as base_payment_success_rate,
    round(compared.current_created_count::numeric / nullif(compared.base_created_count, 0) - 1, 6) as created_change,
    round(compared.current_success_amount / nullif(compared.base_success_amount, 0) - 1, 6) as success_amount_change,
    cuts.as_of,
    cuts.lag_seconds,
    round(compared.current_pending_count::numeric / nullif(compared.current_created_count, 0), 6) as pending_share,
    coalesce(risks.value_at_risk, 0) as open_value_at_risk
from compared
inner join placed as current_span
    on
        compared.period = current_span.period
        and compared.comparison = current_span.comparison
        and compared.source = current_span.source
        and compared.flow = current_span.flow
        and current_span.side = 'current'
inner join placed as base_span
    on
        compared.period = base_span.period
        and compared.comparison = base_span.comparison
        and compared.source = base_span.source
        and compared.flow = base_span.flow
        and base_span.side = 'base'
inner join cuts
    on compared.source = cuts.source and compared.flow = cuts.flow
left join risks
    on
        compared.period = risks.period
        and compared.comparison = risks.comparison
        and compared.source = risks.source
        and compared.project = risks.project
        and compared.flow = risks.flow
        and compared.currency = risks.currency
