{# Days of fct_reconciliation of which a row came, changed or went since `this` last looked. #}
{% macro touched_reconciliation_days() %}
    select business_date, project, flow
    from {{ ref('fct_reconciliation') }}
    where changed_xid >= {{ processed_xid() }}
    union
    select business_date, project, flow
    from intermediate.left_behind
    where model = 'fct_reconciliation' and changed_xid >= {{ processed_xid() }}
{% endmacro %}

{# Pre-hooks: a touched day is written anew as a whole, so what it held before goes first, in the same transaction. #}
{% macro drop_touched_reconciliation_days(touched=none) %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched or touched_reconciliation_days() }}) as touched
    where
        report.business_date = touched.business_date
        and report.project = touched.project
        and report.flow = touched.flow
    {% endif %}
{% endmacro %}

{# The same, and days of which a person has decided a row. #}
{% macro touched_or_decided_days() %}
    {{ touched_reconciliation_days() }}
    union
    {{ days_of_decisions() }}
{% endmacro %}

{#
    CTEs `touched` and `affected`: the rows of fct_reconciliation in touched days, and all of them in a full refresh.
    Day by day through the index of the days: `offset` keeps the planner, which cannot know how few days there are, from
    reading the history instead.
#}
{% macro affected_reconciliations(touched=none) -%}
{% if is_incremental() -%}
touched as (

    {{ touched or touched_reconciliation_days() }}

),

{% endif -%}
affected as (

    select reconciliations.*
    {% if is_incremental() -%}
    from touched
    cross join lateral (
        select rows_of_the_day.*
        from {{ ref('fct_reconciliation') }} as rows_of_the_day
        where
            rows_of_the_day.business_date = touched.business_date
            and rows_of_the_day.project = touched.project
            and rows_of_the_day.flow = touched.flow
        offset 0
    ) as reconciliations
    {%- else -%}
    from {{ ref('fct_reconciliation') }} as reconciliations
    {%- endif %}

)
{%- endmacro %}
