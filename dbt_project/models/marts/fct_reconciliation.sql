{{
    config(
        materialized='incremental',
        unique_key='reconciliation_id',
        on_schema_change='fail',
        group='reconciliation',
        pre_hook=["{{ log_reconciliation_left_behind() }}", "{{ drop_superseded_reconciliations() }}"],
        post_hook="{{ note_processed() }}",
        indexes=[
            {'columns': ['reconciliation_id'], 'unique': true},
            {'columns': ['reconciliation_key']},
            {'columns': ['changed_xid']},
            {'columns': ['review_at']},
            {'columns': ['business_date', 'project', 'flow']},
            {'columns': ['vima_transaction_id']},
            {'columns': ['payshack_transaction_id']},
        ],
    )
}}

with

judged as (

    select * from {{ ref('int_reconciliation__judged') }}

),

hashed as (

    select
        judged.*,
        md5(judged::text) as row_hash
    from judged

)

select
    hashed.reconciliation_id,
    hashed.flow,
    hashed.project,
    hashed.order_key,
    hashed.outcome,
    hashed.comparability,
    hashed.reasons,
    hashed.reasons[1] as sub_reason,
    hashed.severity,
    hashed.exposure,
    hashed.vima_transaction_id,
    hashed.payshack_transaction_id,
    hashed.vima_attempt_ids,
    hashed.payshack_attempt_ids,
    hashed.vima_amount,
    hashed.payshack_amount,
    hashed.vima_status,
    hashed.payshack_status,
    hashed.currency,
    hashed.payshack_currency,
    hashed.vima_effect,
    hashed.payshack_effect,
    hashed.business_date,
    hashed.event_at,
    hashed.reconciliation_key,
    hashed.review_at,
    hashed.awaited_source,
    hashed.awaited_watermark,
    hashed.row_hash,
    {{ current_xid() }} as changed_xid
from hashed
{% if is_incremental() %}
-- What was judged again and came out the same keeps its row, so nothing downstream moves.
where not exists (
    select 1
    from {{ this }} as known
    where known.reconciliation_id = hashed.reconciliation_id and known.row_hash = hashed.row_hash
)
{% endif %}
