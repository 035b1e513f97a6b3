{# The one clock: the instant given to this run, else the database clock. Every model of a run sees the same instant. #}
{% macro psp_now() -%}
    {%- if var('now') -%} timestamptz '{{ var("now") }}' {%- else -%} now() {%- endif -%}
{%- endmacro %}

{# Business date of an instant: where finance's day is cut. #}
{% macro business_date(instant) -%}
    ({{ instant }} at time zone '{{ var("business_timezone") }}')::date
{%- endmacro %}
