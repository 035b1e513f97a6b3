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

{# Minor units in one unit of the currency. The usual exponents are constants: a numeric power for each row costs more than the joins around it. #}
{% macro minor_units(exponent) -%}
    case {{ exponent }} when 2 then 100::numeric when 0 then 1 when 3 then 1000 else power(10::numeric, {{ exponent }}) end
{%- endmacro %}
