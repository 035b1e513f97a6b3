{#
    All versions of every record of which a version was committed since `model` last looked; everything on a full refresh.
    Filters each source by its own primary key, so that cost follows what changed and not the length of the log; as an
    array, because only then the planner always takes that key.
#}
{% macro changed_versions(model, incremental, also_ids=none) %}
    {%- set sources = [
        ('vima_operations', 'stg_vima__operation_versions'),
        ('payshack_payins', 'stg_payshack__payin_versions'),
        ('payshack_payouts', 'stg_payshack__payout_versions'),
    ] -%}
    {%- for log_table, staging_model in sources %}
    select versions.*
    from {{ ref(staging_model) }} as versions
        {%- if incremental %}
    where versions.source_txn_id = any(array(
        select log.record_id
        from {{ source('raw', log_table) }} as log
        where log.loaded_xid >= {{ processed_xid(model) }}
            {%- if also_ids %}
        union
        select also.source_txn_id
        from {{ also_ids }} as also
            {%- endif %}
    ))
        {%- elif var('first_day', '') %}
    -- Only some days, and what pairs, attempts and ledgers may reach beyond them.
    where
        coalesce(versions.created_at, versions.observed_at) >= date '{{ var("first_day") }}' - interval '3 days'
        and coalesce(versions.created_at, versions.observed_at) < date '{{ var("last_day") }}' + interval '4 days'
        {%- endif %}
        {%- if not loop.last %}
    union all
        {%- endif %}
    {%- endfor %}
{% endmacro %}
