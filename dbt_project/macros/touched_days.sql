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
{% macro drop_touched_reconciliation_days() %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched_reconciliation_days() }}) as touched
    where
        report.business_date = touched.business_date
        and report.project = touched.project
        and report.flow = touched.flow
    {% else %}
    select 1
    {% endif %}
{% endmacro %}
