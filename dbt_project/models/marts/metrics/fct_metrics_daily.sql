{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=[
            "{{ note_pending() }}",
            "{{ drop_touched(touched_days_of('utc'), 'day', 'day', 'utc') }}",
            "{{ drop_touched(touched_days_of('business'), 'day', 'day', 'business') }}",
            "{{ drop_touched(touched_days_of('settlement'), 'day', 'day', 'settlement') }}",
        ],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

{# Business and settlement days are whole numbers of business hours, since the cut falls on a full hour. #}
{% set clocks = {'utc': 'utc', 'business': 'business', 'settlement': 'business'} %}

with

{% if is_incremental() %}
-- Every hour of a touched day, by name.
{%- for clock, hours_clock in clocks.items() %}
touched_{{ clock }} as (

    select
        touched.source,
        hours_of_day.hour_at
    from ({{ touched_days_of(clock) }}) as touched
    cross join
        lateral (
            select {{ start_of_day('touched.day', clock) }} + make_interval(hours => number) as hour_at
            from generate_series(0, 24) as number
        ) as hours_of_day
    -- Where clocks are changed a day has 23 or 25 hours.
    where {{ day_of('hours_of_day.hour_at', clock) }} = touched.day

),

{% endfor %}
{% endif %}
placed as (

    {% for clock, hours_clock in clocks.items() %}
    select
        '{{ clock }}' as day_clock,
        {{ day_of('hours.hour_at', clock) }} as day,
        hours.*
    from {{ ref('fct_metrics_hourly') }} as hours
    {% if is_incremental() %}
    inner join touched_{{ clock }} as touched
        on hours.source = touched.source and hours.hour_at = touched.hour_at
    {% endif %}
    where hours.clock = '{{ hours_clock }}'
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    day_clock as clock,
    day,
    source,
    project,
    flow,
    payment_method,
    currency,
    {{- summed_measures() }}
from placed
group by day_clock, day, source, project, flow, payment_method, currency
