{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=[
            "{{ note_pending() }}",
            "{{ drop_touched(touched_hours('utc'), 'hour_at', 'hour_at', 'utc') }}",
            "{{ drop_touched(touched_hours('business'), 'hour_at', 'hour_at', 'business') }}",
        ],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['business_date', 'clock', 'project', 'source']},
        ],
    )
}}

{% set clocks = ['utc', 'business'] %}

with

{% if is_incremental() %}
-- Every bucket of a touched hour, by name, so that each is found by index.
{%- for clock in clocks %}
touched_{{ clock }} as (

    select
        touched.source,
        touched.hour_at + make_interval(mins => 5 * number) as bucket_at
    from ({{ touched_hours(clock) }}) as touched
    cross join generate_series(0, 11) as number

),

{% endfor %}
{% endif %}
placed as (

    {% for clock in clocks %}
    select
        '{{ clock }}' as clock,
        {{ hour_of('buckets.bucket_at', clock) }} as hour_at,
        buckets.*
    from {{ ref('fct_metrics_5m') }} as buckets
    {% if is_incremental() %}
    inner join touched_{{ clock }} as touched
        on buckets.source = touched.source and buckets.bucket_at = touched.bucket_at
    {% endif %}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    clock,
    hour_at,
    business_date,
    source,
    project,
    flow,
    payment_method,
    currency,
    {{- summed_measures() }}
from placed
group by clock, hour_at, business_date, source, project, flow, payment_method, currency
