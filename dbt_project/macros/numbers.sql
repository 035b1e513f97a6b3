{# Exact number from JSON text, or null where the text is not a number. Amounts that matter were checked on loading;
   this guards the fields that were not. #}
{% macro exact_numeric(text_value) -%}
    case when {{ text_value }} ~ '^\s*[-+]?\d+(\.\d+)?([eE][-+]?\d{1,2})?\s*$' then ({{ text_value }})::numeric end
{%- endmacro %}

{# Major units to whole minor units by the currency's exponent; null when the currency is unknown. #}
{% macro to_minor(amount, exponent) -%}
    ({{ amount }} * power(10::numeric, {{ exponent }}))::numeric(38, 0)
{%- endmacro %}

{% macro blank_to_null(text_value) -%}
    nullif(btrim({{ text_value }}), '')
{%- endmacro %}
