{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=[
            "{{ note_pending() }}",
            "{{ drop_touched(touched_days_of('business'), 'day', 'business_date') }}",
        ],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

outcomes as (

    select * from {{ ref('fct_transaction_outcomes') }}

),

{% if is_incremental() %}
touched as (

    {{ touched_days_of('business') }}

),

{% endif %}
affected as (

    select outcomes.*
    from outcomes
    {% if is_incremental() %}
    inner join touched
        on outcomes.source = touched.source and outcomes.business_date = touched.day
    {% endif %}

)

select
    business_date,
    source,
    project,
    merchant,
    flow,
    currency,
    country,
    coalesce(amount_band, -1) as amount_band,
    {{- transaction_measures() }}
from affected
group by business_date, source, project, merchant, flow, currency, country, coalesce(amount_band, -1)
