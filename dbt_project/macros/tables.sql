{#
    A mart is filled first and held to its contract then: a primary key made of a million rows at once takes half of what it
    takes row by row, and only CREATE TABLE AS is filled in parallel. Overrides the adapter's own.
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
  {%- set kind = 'temporary' if temporary else 'unlogged' if config.get('unlogged', default=false) else '' -%}

  {{ config.get('sql_header', none) or '' }}
  {{ note_current_xid() }}

  create {{ kind }} table {{ relation }} {{ 'on commit drop' if temporary }} as
  (
    {{ sql }}
  );
  {# What goes through a temporary table goes on into one that was held to the contract. #}
  {%- if config.get('contract').enforced and not temporary %}
  {{ hold_to_contract(relation) }}
  {%- endif %}
{%- endmacro %}

{#
    The columns that are there are those of the contract, by name and type, or the model fails. Asked of the relation itself and
    not of its query beforehand: the larger ones take longer to plan than a minute's rows to write.
#}
{% macro check_columns(relation) -%}
  do $contract$
  declare
    wrong text;
  begin
    select string_agg(
      format('%s is %s and should be %s', coalesce(said.name, made.name), coalesce(made.type::text, 'missing'), coalesce(said.type::text, 'no column')), '; '
    )
    into wrong
    from (values
      {%- for column in model['columns'].values() %}
      ('{{ column['name'] }}', '{{ column['data_type'] }}'::regtype){{ ',' if not loop.last }}
      {%- endfor %}
    ) as said (name, type)
    full join (
      select attname::text as name, atttypid::regtype as type
      from pg_attribute
      where attrelid = '{{ relation }}'::regclass and attnum > 0 and not attisdropped
    ) as made on said.name = made.name
    where said.type is distinct from made.type;
    if wrong is not null then
      raise exception 'the contract of {{ this.identifier }} is not kept: %', wrong;
    end if;
  end
  $contract$;
{%- endmacro %}

{# What the contract says of a filled table: columns, which of them are never null, and its key. Other kinds are not in use. #}
{% macro hold_to_contract(relation) -%}
  {{ check_columns(relation) }}
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
  {%- if terms %}
  alter table {{ relation }}
    {{ terms | join(',\n    ') }};
  {%- endif -%}
{%- endmacro %}
