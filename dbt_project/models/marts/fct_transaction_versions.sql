{{
    config(
        materialized='incremental',
        unique_key='transaction_id',
        on_schema_change='fail',
        group='transactions',
        pre_hook="{{ note_pending() }}",
        post_hook=[
            "{{ note_processed() }}",
            "{{ index_unmapped_versions() }}",
            "{{ analyze_when_rebuilt() }}",
        ],
        indexes=[
            {'columns': ['transaction_id']},
            {'columns': ['observed_at']},
            {'columns': ['changed_xid']},
        ],
    )
}}

with

versions as (

    {{ changed_versions(this.identifier, is_incremental()) }}

),

class_words as (

    select * from {{ ref('status_class_words') }}

)

select
    versions.transaction_id || ':' || versions.content_hash as version_id,
    versions.transaction_id,
    versions.source,
    versions.flow,
    versions.source_txn_id,
    versions.order_key,
    versions.content_hash,
    row_number() over version_order as version_number,
    versions.status_raw,
    class_words.status,
    lag(class_words.status) over version_order as previous_status,
    versions.currency,
    versions.amount,
    versions.refunded_amount,
    versions.created_at,
    versions.updated_at,
    versions.observed_at,
    -- How long after the change the platform learnt of it.
    trim_scale(extract(epoch from versions.observed_at - versions.updated_at)) as lateness_seconds,
    versions.load_mode,
    versions.load_scope,
    versions.load_page,
    versions._dlt_load_id as load_id,
    {{ current_xid() }} as changed_xid
from versions
inner join class_words
    on versions.status_class = class_words.status_class
window version_order as (
    partition by versions.transaction_id
    order by
        versions.updated_at asc nulls first,
        versions.source_order asc nulls first,
        versions.observed_at asc,
        versions.content_hash asc
)
