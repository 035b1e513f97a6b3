{#
    Exact number from JSON text, or null where the text is not a number. Amounts that matter were checked on loading;
    this guards the fields that were not.
#}
{% macro exact_numeric(text_value) -%}
    case
        when {{ text_value }} ~ '^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?\s*$'
            then trim_scale(({{ text_value }})::numeric)
    end
{%- endmacro %}

{% macro blank_to_null(text_value) -%}
    nullif(btrim({{ text_value }}), '')
{%- endmacro %}
