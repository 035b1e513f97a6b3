{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_reconciliation_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['business_date', 'hour_at', 'project', 'flow', 'currency'], 'unique': true},
        ],
    )
}}

with

reconciliations as (

    select * from {{ ref('fct_reconciliation') }}

),

{% if is_incremental() %}
touched as (

    {{ touched_reconciliation_days() }}

),

{% endif %}
affected as (

    select
        reconciliations.*,
        -- A row whose legs have no creation time counts in the first hour of its day.
        coalesce(
            {{ hour_of('reconciliations.event_at', 'business') }},
            {{ start_of_day('reconciliations.business_date', 'business') }}
        ) as hour_at
    from reconciliations
    {% if is_incremental() %}
    inner join touched
        on
            reconciliations.business_date = touched.business_date
            and reconciliations.project = touched.project
            and reconciliations.flow = touched.flow
    {% endif %}

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
from affected
group by business_date, hour_at, project, flow, coalesce(currency, 'unknown')
