{{
    config(
        materialized='incremental',
        unique_key='reconciliation_id',
        on_schema_change='fail',
        group='reconciliation',
        pre_hook=[
            "{{ require_one_batch() }}",
            "{{ log_reconciliation_left_behind() }}",
            "{{ drop_superseded_reconciliations() }}",
        ],
        post_hook=[
            "{{ note_processed() }}",
            "{{ index_where_present(['review_at', 'awaited_watermark', 'tolerated_difference']) }}",
            "{{ index_rows_that_differ() }}",
            "{{ analyze_when_rebuilt() }}",
        ],
        indexes=[
            {'columns': ['reconciliation_key']},
            {'columns': ['changed_xid']},
            {'columns': ['business_date', 'project', 'flow']},
            {'columns': ['vima_transaction_id']},
            {'columns': ['payshack_transaction_id']},
        ],
    )
}}

{# What reconciliation says of a row: the columns of the mart, and what decides whether a row has changed. #}
{% set said = [
    'flow', 'project', 'order_key',
    'outcome', 'comparability', 'match_state', 'reasons', 'severity', 'exposure', 'exposure_side',
    'vima_transaction_id', 'payshack_transaction_id', 'vima_attempt_ids', 'payshack_attempt_ids',
    'vima_amount', 'payshack_amount', 'vima_status', 'payshack_status',
    'currency', 'payshack_currency', 'vima_effect', 'payshack_effect', 'tolerated_difference', 'expected_fee', 'fee_variance',
    'business_date', 'event_at',
    'reconciliation_key', 'review_at', 'awaited_source', 'awaited_watermark',
] %}

with

judged as (

    select * from {{ ref('int_reconciliation__judged') }}

)

select
    judged.reconciliation_id,
    {%- for column in said %}
    judged.{{ column }},
    {%- endfor %}
    judged.reasons[1] as sub_reason,
    {{ current_xid() }} as changed_xid
from judged
{% if is_incremental() %}
-- What was judged again and came out the same keeps its row, so nothing downstream moves.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.reconciliation_id = judged.reconciliation_id
            and {{ same_values('known', 'judged', said) }}
    )
{% endif %}
