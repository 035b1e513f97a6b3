{# Unit tests cast their rows to the type that the information schema names, which for any array is just ARRAY. Ours are all
   of text. #}
{% macro postgres__safe_cast(field, type) %}
    cast({{ field }} as {{ 'text[]' if type == 'ARRAY' else type }})
{% endmacro %}
