{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_reconciliation_days(touched_or_decided_days()) }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

{{ affected_reconciliations(touched_or_decided_days()) }},

placed as (

    select
        affected.business_date,
        affected.project,
        affected.flow,
        affected.currency,
        affected.comparability,
        affected.outcome,
        -- A row whose legs have no creation time counts in the first hour of its day.
        coalesce(
            {{ hour_of('affected.event_at', 'business') }},
            {{ start_of_day('affected.business_date', 'business') }}
        ) as hour_at,
        -- What a person has decided is no longer at risk.
        case when decided.state is null then affected.exposure else 0 end as exposure
    from affected
    {{ join_decision('affected') }}

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
