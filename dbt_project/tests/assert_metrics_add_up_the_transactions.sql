-- If this fails, a dashboard counts other payments than those it drills into.
{%- set sums = [
    ('fct_metrics_5m', 'fct_metrics_5m', none),
    ('hours_utc', 'fct_metrics_hourly', 'utc'),
    ('hours_business', 'fct_metrics_hourly', 'business'),
    ('days_utc', 'fct_metrics_daily', 'utc'),
    ('days_business', 'fct_metrics_daily', 'business'),
    ('days_settlement', 'fct_metrics_daily', 'settlement'),
    ('fct_segments_daily', 'fct_segments_daily', none),
] %}
with

by_transactions as (

    select
        source,
        count(*) as created_count,
        coalesce(sum(amount), 0) as created_amount,
        count(*) filter (where status = 'success') as success_count
    from {{ ref('fct_transactions') }}
    group by source

),

by_metrics as (
    {% for name, model, clock in sums %}
    select
        '{{ name }}' as summed,
        source,
        sum(created_count) as created_count,
        sum(created_amount) as created_amount,
        sum(success_count - refunded_count - chargeback_count) as success_count
    from {{ ref(model) }}
    {%- if clock %}
    where clock = '{{ clock }}'
    {%- endif %}
    group by source
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

every_sum as (

    select distinct summed from by_metrics

),

expected as (

    select
        by_transactions.*,
        every_sum.summed
    from by_transactions
    cross join every_sum

)

select
    coalesce(expected.summed, by_metrics.summed) as summed,
    coalesce(expected.source, by_metrics.source) as source,
    expected.created_count as transactions_created,
    by_metrics.created_count as metrics_created
from expected
full outer join by_metrics
    on expected.summed = by_metrics.summed and expected.source = by_metrics.source
where
    (expected.created_count, expected.created_amount, expected.success_count)
    is distinct from (by_metrics.created_count, by_metrics.created_amount, by_metrics.success_count)
