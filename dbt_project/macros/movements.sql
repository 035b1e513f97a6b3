{# Settlement day of an instant: the Indian day that ends at 21:00, when the first cycle of the next one begins (U1). #}
{% macro settlement_day(instant) -%}
    ({{ instant }} at time zone '{{ var("business_timezone") }}' + interval '3 hours')::date
{%- endmacro %}

{# Records of which a version came, or which changed, since `this` last looked. #}
{% macro changed_movement_records() %}
    select transaction_id
    from {{ ref('int_transactions__current') }}
    where changed_xid >= {{ processed_xid() }}
    union
    select transaction_id
    from {{ ref('fct_transaction_versions') }}
    where changed_xid >= {{ processed_xid() }}
{% endmacro %}

{#
    Pre-hook: the movements of a changed record are written anew as a whole; a record may have none any more. As an
    array, because only then the planner always takes the index.
#}
{% macro drop_changed_movements() %}
    {% if is_incremental() %}
    delete from {{ this }} as known
    where known.transaction_id = any(array({{ changed_movement_records() }}))
    {% endif %}
{% endmacro %}

{# Days of the bridge: those of reconciliation, those on which an attempt's money moved, and those of decided breaks. #}
{% macro touched_bridge_days() %}
    {{ touched_reconciliation_days() }}
    union
    select rows_of_day.business_date, rows_of_day.project, rows_of_day.flow
    from {{ ref('fct_movements') }} as movements
    {# By name and not by ref: fct_movements is built from it, so it is there. #}
    inner join intermediate.int_transactions__current as records
        on movements.transaction_id = records.transaction_id
    inner join {{ ref('fct_reconciliation') }} as rows_of_day
        on records.reconciliation_key = rows_of_day.reconciliation_key
    where movements.changed_xid >= {{ processed_xid() }}
    union
    {{ days_of_decisions() }}
{% endmacro %}

{% macro drop_touched_bridge_days() %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched_bridge_days() }}) as touched
    where
        report.business_date = touched.business_date
        and report.project = touched.project
        and report.flow = touched.flow
    {% endif %}
{% endmacro %}
