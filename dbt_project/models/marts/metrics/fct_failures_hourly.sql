{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=[
            "{{ note_pending() }}",
            "{{ drop_touched(touched_hours('business'), 'hour_at', 'hour_at') }}",
        ],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['business_date']},
        ],
    )
}}

with

outcomes as (

    select * from {{ ref('fct_transaction_outcomes') }}

),

{% if is_incremental() %}
touched as (

    select
        hours.source,
        hours.hour_at + make_interval(mins => 5 * number) as bucket_at
    from ({{ touched_hours('business') }}) as hours
    cross join generate_series(0, 11) as number

),

{% endif %}
failures as (

    select
        {{ hour_of('outcomes.bucket_at', 'business') }} as hour_at,
        outcomes.*
    from outcomes
    {% if is_incremental() %}
    inner join touched
        on outcomes.source = touched.source and outcomes.bucket_at = touched.bucket_at
    {% endif %}
    where outcomes.status in ('failed', 'expired')

)

select
    hour_at,
    business_date,
    source,
    project,
    flow,
    payment_method,
    currency,
    status,
    status_raw,
    bank_handle,
    count(*) as failed_count,
    coalesce(sum(amount), 0) as failed_amount
from failures
group by
    hour_at, business_date, source, project, flow, payment_method, currency, status, status_raw, bank_handle
