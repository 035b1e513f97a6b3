{#
    A report of fct_segments_daily at a coarser grain: what adds up is summed, rates and percentiles are taken of the
    sums, and every row says how far it may be trusted. `grain`: business_date, source, project, flow, currency and what
    the report is of, in the order of its columns. `caption`: a further column, with its comma.
#}
{% macro segments_reported(grain, caption='') %}
with

segments as (

    select * from {{ ref('fct_segments_daily') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

),

counted as (

    select
        {{ grain | join(',
        ') }},
        {{- summed_measures() }}
    from segments
    group by {{ grain | join(', ') }}

)

select
    {% for column in grain -%}
    counted.{{ column }},
    {% endfor -%}
    {{ caption }}
    {{- listed_measures('counted') }}
    {{- success_rates('counted') }},
    round(counted.success_amount / nullif(counted.success_count, 0), 4) as average_ticket,
    {{ seconds_percentile('counted', 0.5) }} as seconds_to_final_p50,
    {{ seconds_percentile('counted', 0.95) }} as seconds_to_final_p95,
    {{ trust_columns('counted', 'trust', 'reconciliation') }}
from counted
left join trust
    on counted.source = trust.source and counted.flow = trust.flow
left join reconciliation
    on
        counted.business_date = reconciliation.business_date
        and counted.project = reconciliation.project
        and counted.flow = reconciliation.flow
        and counted.currency = reconciliation.currency
{% endmacro %}
