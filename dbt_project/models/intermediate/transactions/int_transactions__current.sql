{{
    config(
        materialized='incremental',
        unique_key='transaction_id',
        on_schema_change='fail',
        pre_hook="{{ log_left_behind() }}",
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['transaction_id'], 'unique': true},
            {'columns': ['reconciliation_key']},
            {'columns': ['changed_xid']},
            {'columns': ['utr']},
            {'columns': ['rrn']},
            {'columns': ['expires_at']},
        ],
    )
}}

with

refreshed as (

    select * from {{ ref('int_transactions__refreshed') }}

)

select
    {# Kept as refreshed, column for column. #}
    refreshed.*,  -- noqa: AM04
    {{ current_xid() }} as changed_xid
from refreshed
{% if is_incremental() %}
-- A record that was read again and says nothing new keeps its row, so nothing downstream moves.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.transaction_id = refreshed.transaction_id
            and known.content_hash = refreshed.content_hash
            and known.is_expired = refreshed.is_expired
            and known.is_status_regression = refreshed.is_status_regression
            and known.first_seen_at = refreshed.first_seen_at
            and known.class_since is not distinct from refreshed.class_since
    )
{% endif %}
