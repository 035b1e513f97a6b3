{# Indexes that dbt's configuration has no words for: made once, when a table is built. #}

{# Post-hook of an incremental table: indexes of columns that few rows have; a condition on one of them implies its presence. #}
{% macro index_where_present(columns) %}
    {%- if not is_incremental() -%}
    {%- for column in columns %}
    create index on {{ this }} ({{ column }}) where {{ column }} is not null;
    {%- endfor %}
    {%- endif -%}
{% endmacro %}

{# Post-hook of fct_reconciliation: the few rows that do not match, which people and suggestions look for. #}
{% macro index_rows_that_differ() %}
    {%- if not is_incremental() -%}
    create index on {{ this }} (business_date) where outcome <> 'matched'
    {%- endif -%}
{% endmacro %}

{# Post-hook of fct_transaction_versions: words that no seed knows are few, and looked for by when they were read. #}
{% macro index_unmapped_versions() %}
    {%- if not is_incremental() -%}
    create index on {{ this }} (observed_at) where status = 'unmapped'
    {%- endif -%}
{% endmacro %}

{#
    Post-hook of fct_transactions: what dashboards count and add up is read from an index alone, a third of what the rows would
    be; and the few rows that miss something or are in no mapping are found by theirs.
#}
{% macro index_transactions() %}
    {%- if not is_incremental() -%}
    create index on {{ this }} (business_date, project, status, source)
    include (flow, payment_method, currency, merchant, amount, status_raw, created_at);
    create index on {{ this }} (business_date)
    where
        is_paid_amount_missing or is_flow_assumed or is_created_at_missing or is_status_regression or is_client_unmapped
        or order_key is null or status in ('unmapped', 'tampered')
    {%- endif -%}
{% endmacro %}
