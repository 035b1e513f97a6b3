{#
    A mart is filled first and held to its contract then: a primary key made of a million rows at once takes half of what it
    takes row by row, and only CREATE TABLE AS is filled in parallel. Overrides the adapter's own; tables without a contract
    are made as it makes them.
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
  {%- set kind = 'temporary' if temporary else 'unlogged' if config.get('unlogged', default=false) else '' -%}
  {%- set contracted = config.get('contract').enforced and not temporary -%}

  {{ config.get('sql_header', none) or '' }}
  {{ note_current_xid() }}

  create {{ kind }} table {{ relation }}
  {% if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
  {% endif -%}
  as
  {% if contracted %}
  (
    select
      {%- for column in model['columns'].values() %}
      cast({{ column['name'] }} as {{ column['data_type'] }}) as {{ column['name'] }}
      {{- ',' if not loop.last }}
      {%- endfor %}
    from (
      {{ sql }}
    ) as filled
  );
  {{ hold_to_contract(relation) }}
  {% else %}
  (
    {{ sql }}
  );
  {% endif %}
{%- endmacro %}

{# What the contract says of a filled table: columns that are never null, and its key. Other kinds are not in use. #}
{% macro hold_to_contract(relation) -%}
  {%- set terms = [] -%}
  {%- for column in model['columns'].values() -%}
    {%- for constraint in column['constraints'] -%}
      {%- if constraint['type'] != 'not_null' -%}
        {{ exceptions.raise_compiler_error("constraint of a column: " ~ constraint['type'] ~ " is not supported") }}
      {%- endif -%}
      {%- do terms.append('alter column ' ~ column['name'] ~ ' set not null') -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- for constraint in model['constraints'] -%}
    {%- if constraint['type'] != 'primary_key' -%}
      {{ exceptions.raise_compiler_error("constraint of a model: " ~ constraint['type'] ~ " is not supported") }}
    {%- endif -%}
    {%- do terms.append('add primary key (' ~ constraint['columns'] | join(', ') ~ ')') -%}
  {%- endfor -%}
  {%- if terms -%}
  alter table {{ relation }}
    {{ terms | join(',\n    ') }};
  {%- endif -%}
{%- endmacro %}
