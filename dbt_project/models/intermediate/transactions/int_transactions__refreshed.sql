{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_pending('int_transactions__current') }}",
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['transaction_id'], 'unique': true}],
    )
}}

{# Before the first build, and on a full refresh, everything is new. #}
{% set incremental = reads_changes_only(this.schema, 'int_transactions__current') %}

with

{% if incremental %}
-- A payment that waits for its user expires by the clock alone.
expired_since as (

    select source_txn_id
    from {{ this.schema }}.int_transactions__current
    where expires_at <= {{ psp_now() }}

),
{% endif %}

versions as (

    {{ changed_versions('int_transactions__current', incremental, also_ids='expired_since' if incremental else none) }}

),

newest as (

    {{ current_version('versions') }}

),

pending_ttls as (

    select * from {{ ref('pending_ttls') }}

),

timed as (

    select
        newest.*,
        case
            when newest.status_class = 'W'
                then
                    coalesce(newest.created_at, newest.first_seen_at)
                    + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
        end as waits_until
    from newest
    left join pending_ttls as by_type
        on newest.flow = by_type.flow and newest.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on newest.flow = by_default.flow and by_default.transaction_type = 'default'

)

select
    transaction_id,
    source,
    flow,
    source_txn_id,
    order_key,
    case when order_key is null then 'record:' || transaction_id else 'key:' || order_key end as reconciliation_key,
    content_hash,
    provider_reference,
    utr,
    rrn,
    project,
    merchant,
    currency,
    minor_unit_exponent,
    amount,
    requested_amount,
    paid_amount,
    refunded_amount,
    fee,
    is_paid_amount_missing,
    is_flow_assumed,
    is_self_inconsistent,
    is_status_regression,
    status_raw,
    status_class,
    payment_method,
    transaction_type,
    country,
    created_at,
    updated_at,
    class_since,
    completed_at,
    -- Only what is still to come, so that the search for what has just expired meets nothing old.
    case when waits_until > {{ psp_now() }} then waits_until end as expires_at,
    coalesce(waits_until <= {{ psp_now() }}, false) as is_expired,
    created_at is null as is_created_at_missing,
    {{ business_date('coalesce(created_at, first_seen_at)') }} as business_date,
    first_seen_at,
    observed_at,
    _dlt_load_id
from timed
