{#
    dbt's own three materializations, as PostgreSQL needs them and no more (decision 0049). A minute's run is some sixty
    models of next to no rows: what it costs is what dbt does around each of them. The adapter's own ask the catalogue
    up to five times a model for what the contract says, and rename by macros that each build a context of their own.

    What is promised to readers is dbt's: a table is there with its indexes, comments and rows, or as it was before.
#}

{# Rows that the query gives replace those of the same key; all of them are new when there is no table or all is rebuilt. #}
{% materialization incremental, adapter='postgres' %}
  {%- set existing = load_cached_relation(this) -%}
  {%- if not is_incremental() -%}
    {{ return(fill_anew(existing)) }}
  {%- endif -%}
  {%- set target = this.incorporate(type='table') -%}
  {%- set arrived = make_temp_relation(target) -%}
  {% call statement('main') %}
    {{ hooks_within(pre_hooks) }}
    {{ create_table_as(true, arrived, sql) }}
    {{ adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy') or 'default')({
        'target_relation': target,
        'temp_relation': arrived,
        'unique_key': config.get('unique_key'),
        'dest_columns': contracted_columns(target),
        'incremental_predicates': config.get('incremental_predicates'),
    }) }}
  {% endcall %}
  {% do run_text(hooks_within(post_hooks)) %}
  {% do adapter.commit() %}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% materialization table, adapter='postgres' %}
  {{ return(fill_anew(load_cached_relation(this))) }}
{% endmaterialization %}


{# Made anew at every release; whoever depends on it is made after it. #}
{% materialization view, adapter='postgres' %}
  {%- set existing = load_cached_relation(this) -%}
  {%- set target = this.incorporate(type='view') -%}
  {% call statement('main') %}
    {{ hooks_within(pre_hooks) }}
    {{ drop_statement(existing) if existing }}
    create view {{ target }} as (
    {{ sql }}
    );
    {{ check_columns(target) if config.get('contract').enforced }}
  {% endcall %}
  {% do run_text(comments(target) ~ hooks_within(post_hooks)) %}
  {% do adapter.commit() %}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}


{# Fill a table beside the one that is there, and let it take its place. #}
{% macro fill_anew(existing) %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set filled = make_intermediate_relation(target) -%}
  {%- set former = make_backup_relation(target, existing.type if existing else 'table') -%}
  {% call statement('main') %}
    {{ hooks_within(pre_hooks) }}
    {{ create_table_as(false, filled, sql) }}
    {% for index in config.get('indexes', default=[]) %}
      {{ get_create_index_sql(filled, index) }};
    {% endfor %}
  {% endcall %}
  {% call statement() %}
    {% if existing %}
      {{ drop_statement(former) }}
      alter {{ existing.type }} {{ existing }} rename to {{ adapter.quote(former.identifier) }};
    {% endif %}
    alter table {{ filled }} rename to {{ adapter.quote(target.identifier) }};
    {{ comments(target) }}
    {{ hooks_within(post_hooks) }}
  {% endcall %}
  {% do adapter.commit() %}
  {% if existing %}
    {# After the commit, and by itself: readers of views over the former wait for this and for nothing else. #}
    {% call statement(auto_begin=false) %} {{ drop_statement(former) }} {% endcall %}
  {% endif %}
  {{ return({'relations': [target]}) }}
{% endmacro %}


{% macro drop_statement(relation) -%}
  drop {{ relation.type }} if exists {{ relation }} cascade;
{%- endmacro %}


{% macro run_text(text) %}
  {%- if text | trim -%}
    {% call statement() %} {{ text }} {% endcall %}
  {%- endif -%}
{% endmacro %}


{# Hooks as one text, all of them part of the model's transaction: outside of it, a run that breaks off leaves half a model. #}
{% macro hooks_within(hooks) %}
  {%- if hooks | rejectattr('transaction') | list -%}
    {{ exceptions.raise_compiler_error("a hook outside of the transaction is not supported") }}
  {%- endif -%}
  {%- for hook in hooks -%}
    {%- set said = render(hook.get('sql')) | trim -%}
    {%- if said %} {{ said }};
    {%- endif -%}
  {%- endfor -%}
{% endmacro %}


{# The contract names the columns; where there is none, the table does. #}
{% macro contracted_columns(relation) %}
  {%- if config.get('contract').enforced -%}
    {{ return(model['columns'].values() | list) }}
  {%- endif -%}
  {{ return(adapter.get_columns_in_relation(relation)) }}
{% endmacro %}


{# What the descriptions say, of a relation and of its columns. A table that is only added to has them already. #}
{% macro comments(relation) %}
  {%- if config.persist_relation_docs() and model.description %}
    {{ alter_relation_comment(relation, model.description) }}
  {%- endif -%}
  {%- if config.persist_column_docs() and model.columns %}
    {{ alter_column_comment(relation, model.columns) }}
  {%- endif -%}
{% endmacro %}
