{#
    Incremental by changed keys, without a clock.

    Every raw row and every row of an incremental model carries the transaction id that wrote it. A model remembers, in the
    transaction that commits its own rows, the oldest transaction that was still running when it looked (xmin of its
    snapshot): everything older is visible and done, everything from there on is read again next time. So a load that
    commits late, out of order, or while the model runs is never skipped; at worst a row is read twice, which is free.

    A restored database starts counting transactions anew; a remembered id from the future is therefore ignored.
    The tables (intermediate.model_state, intermediate.left_behind) belong to the warehouse's foundation.
#}

{# A second building of the models beside the marts (schemas shadow_*), always a full refresh: it keeps no state. #}
{% macro is_shadow() %}
    {{ return(this.schema.startswith('shadow_')) }}
{% endmacro %}

{# Pre-hook: note where this run's view of the world begins. #}
{% macro note_pending(model=none) %}
    {% if not is_shadow() %}
    insert into intermediate.model_state (model, pending_xid)
    values ('{{ model or this.identifier }}', pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    on conflict (model) do update set pending_xid = excluded.pending_xid
    {% endif %}
{% endmacro %}

{# Post-hook, in the transaction of the rows: what was pending is now processed. #}
{% macro note_processed(model=none) %}
    {% if not is_shadow() %}
    update intermediate.model_state
    set processed_xid = pending_xid
    where model = '{{ model or this.identifier }}'
    {% endif %}
{% endmacro %}

{#
    The steps from keys_changed to crosschecked are tables of one batch of keys. Somebody who rebuilds one of them alone must
    not make the mart forget the rest: each step notes its batch, and the mart refuses a mixture. What a batch began with, its
    step has seen: a step that stayed at 0 would tell models_sensor for ever that rows wait.
#}
{% macro note_batch() %}
    {% if not is_shadow() %}
    insert into intermediate.model_state (model, pending_xid, processed_xid)
    select '{{ this.identifier }}', pending_xid, pending_xid
    from intermediate.model_state
    where model = 'fct_reconciliation'
    on conflict (model) do update
    set pending_xid = excluded.pending_xid, processed_xid = excluded.processed_xid
    {% endif %}
{% endmacro %}

{% macro require_one_batch() %}
    {% if not is_shadow() %}
    do $$
    begin
        if (
            select count(distinct pending_xid) > 1
            from intermediate.model_state
            where model = 'fct_reconciliation' or model like 'int\_reconciliation\_\_%'
        ) then
            raise exception 'the reconciliation models were built from different keys; build them together: +fct_reconciliation';
        end if;
    end
    $$
    {% endif %}
{% endmacro %}

{#
    Lowest transaction id that `model` has not fully seen, as a number: the planner must know it to see that few rows are
    newer. Asked when the SQL is made, which is safe because no two runs overlap.
#}
{% macro processed_xid(model_name=none) -%}
    {%- if not execute -%} 0
    {%- else -%}
    {%- set name = model_name or this.identifier -%}
    {#- Once a model and not once a mention, of which there are dozens; dbt's `model` lives as long as what is asked here. -#}
    {%- set known = model.setdefault('processed_xids', {}) -%}
    {%- if name not in known -%}
        {%- set asked -%}
            select coalesce(max(processed_xid), 0)
            from intermediate.model_state
            where
                model = '{{ name }}'
                and processed_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        {%- endset -%}
        {%- do known.update({name: run_query(asked).columns[0].values()[0]}) -%}
    {%- endif -%}
    {{ known[name] }}
    {%- endif -%}
{%- endmacro %}

{#
    The transaction that writes a table's rows, noted before they are made: asked for within the query itself, it would keep
    the query from running in parallel. Empty in unit tests, which make no table.
#}
{% macro note_current_xid() -%}
    select set_config('psp.current_xid', pg_current_xact_id()::text, true);
{%- endmacro %}

{% macro current_xid() -%}
    nullif(current_setting('psp.current_xid', true), '')::bigint
{%- endmacro %}

{#
    Whether a work table may hold only what changed: its reader exists and this is no full refresh. Unit tests override it,
    because it asks the database.
#}
{% macro reads_changes_only(schema, reader) %}
    {%- if not execute or flags.FULL_REFRESH -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(adapter.get_relation(target.database, schema, reader) is not none) }}
{% endmacro %}

{# Post-hook of an incremental table: the planner gets figures at once where everything is new. #}
{% macro analyze_when_rebuilt() %}
    {% if not is_incremental() %} analyze {{ this }} {% endif %}
{% endmacro %}

{# Whether two rows say the same in `columns`, by value and not by how a session would print them. #}
{% macro same_values(one, other, columns) -%}
    ({{ one }}.{{ columns | join(', ' ~ one ~ '.') }}) is not distinct from ({{ other }}.{{ columns | join(', ' ~ other ~ '.') }})
{%- endmacro %}
