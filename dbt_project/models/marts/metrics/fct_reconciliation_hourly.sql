{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_reconciliation_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

{{ affected_reconciliations() }},

placed as (

    select
        *,
        -- A row whose legs have no creation time counts in the first hour of its day.
        coalesce(
            {{ hour_of('event_at', 'business') }},
            {{ start_of_day('business_date', 'business') }}
        ) as hour_at
    from affected

)

select
    business_date,
    hour_at,
    project,
    flow,
    coalesce(currency, 'unknown') as currency,
    count(*) filter (where comparability = 'comparable') as comparable_count,
    count(*) filter (where outcome = 'matched') as matched_count,
    count(*) filter (where outcome <> 'matched') as break_count,
    coalesce(sum(exposure), 0) as value_at_risk
from placed
group by business_date, hour_at, project, flow, coalesce(currency, 'unknown')
