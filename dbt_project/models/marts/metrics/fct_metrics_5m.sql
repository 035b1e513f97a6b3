{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched(touched_buckets(), 'bucket_at', 'bucket_at') }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[{'columns': ['business_date', 'project']}],
    )
}}

with

outcomes as (

    select * from {{ ref('fct_transaction_outcomes') }}

),

{% if is_incremental() %}
touched as (

    {{ touched_buckets() }}

),

{% endif %}
affected as (

    select outcomes.*
    from outcomes
    {% if is_incremental() %}
    inner join touched
        on outcomes.source = touched.source and outcomes.bucket_at = touched.bucket_at
    {% endif %}

)

select
    bucket_at,
    business_date,
    source,
    project,
    flow,
    payment_method,
    currency,
    {{- transaction_measures() }}
from affected
group by bucket_at, business_date, source, project, flow, payment_method, currency
