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
aged as (

    select
        outcomes.*,
        -- An end whose time nobody saw tells nothing about ages; what has not ended is in a bucket of its own.
        case
            when outcomes.ended_as is null then -1
            else {{ age_bucket_of('extract(epoch from outcomes.ended_at - outcomes.counted_at)') }}
        end as age_bucket
    from outcomes
    {% if is_incremental() %}
    inner join touched
        on outcomes.source = touched.source and outcomes.business_date = touched.day
    {% endif %}
    where outcomes.ended_as is null or outcomes.ended_at is not null

)

select
    business_date,
    source,
    project,
    flow,
    payment_method,
    age_bucket,
    count(*) filter (where ended_as = 'success') as success_count,
    count(*) filter (where ended_as = 'failed') as failed_count,
    count(*) filter (where ended_as = 'expired') as expired_count,
    count(*) filter (where ended_as is null) as open_count
from aged
group by business_date, source, project, flow, payment_method, age_bucket
