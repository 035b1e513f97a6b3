{# Schemas are named as written: marts is marts in every environment, since dashboards and the sidecar depend on it. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
