{#
    Whether a line of a rule seed holds on a business date: rules change by period, and a day keeps the rules of its time.
    A line without dates always holds.
#}
{% macro in_force(rule, on_date) -%}
    ({{ rule }}.valid_from <= {{ on_date }}) is not false
            and ({{ rule }}.valid_to > {{ on_date }}) is not false
{%- endmacro %}

{# Business date by which the version of a record is read: that of its creation, else of when it was first seen. #}
{% macro record_date(record) -%}
    {{ business_date('coalesce(' ~ record ~ '.source_created_at, ' ~ record ~ '.observed_at)') }}
{%- endmacro %}
