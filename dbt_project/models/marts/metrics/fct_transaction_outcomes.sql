{{
    config(
        materialized='incremental',
        unique_key='transaction_id',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ log_buckets_left() }}"],
        post_hook=["{{ log_buckets_entered() }}", "{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['source', 'bucket_at']},
            {'columns': ['source', 'business_date']},
            {'columns': ['source', 'flow', 'awaited_since']},
            {'columns': ['changed_xid']},
        ],
    )
}}

{# What decides whether a row has changed. #}
{% set said = [
    'source', 'flow', 'project', 'merchant', 'payment_method', 'currency', 'country', 'bank_handle',
    'amount', 'amount_band', 'fee', 'status', 'status_raw',
    'counted_at', 'bucket_at', 'business_date', 'awaited_since', 'awaited_from', 'ended_as', 'ended_at', 'seconds_to_final',
] %}

with

{% if is_incremental() %}
-- Used as an array, because only then the planner always takes the keys' index.
changed as (

    {{ changed_transaction_ids() }}

),

{% endif %}
transactions as (

    select * from {{ ref('fct_transactions') }}
    {% if is_incremental() %}
    where transaction_id = any(array(select changed.transaction_id from changed))
    {% endif %}

),

-- When the record was first seen to have succeeded and to have failed, by the source's own time of each version.
first_ends as (

    select
        transaction_id,
        min(updated_at) filter (where status = 'success') as succeeded_at,
        min(updated_at) filter (where status = 'failed') as failed_at
    from {{ ref('fct_transaction_versions') }}
    where
        status in ('success', 'failed')
        {% if is_incremental() %}
        and transaction_id = any(array(select changed.transaction_id from changed))
        {% endif %}
    group by transaction_id

),

parties as (

    select
        transaction_id,
        bank_handle
    from {{ ref('fct_transaction_parties') }}
    {% if is_incremental() %}
    where transaction_id = any(array(select changed.transaction_id from changed))
    {% endif %}

),

status_classes as (

    select * from {{ ref('status_classes') }}

),

pending_ttls as (

    select * from {{ ref('pending_ttls') }}

),

timed as (

    select
        transactions.*,
        parties.bank_handle,
        status_classes.status_class,
        coalesce(transactions.created_at, transactions.first_seen_at) as counted_at,
        case
            when transactions.status in ('success', 'refunded', 'chargeback') then 'success'
            when transactions.status in ('failed', 'expired') then transactions.status
        end as ended_as,
        case
            when transactions.status = 'success' then least(first_ends.succeeded_at, transactions.completed_at)
            -- The time of completion may be that of the refund: only a version that was seen tells when it succeeded.
            when transactions.status in ('refunded', 'chargeback') then first_ends.succeeded_at
            when transactions.status = 'failed' then least(first_ends.failed_at, transactions.completed_at)
            when transactions.status = 'expired'
                then
                    coalesce(transactions.created_at, transactions.first_seen_at)
                    + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
        end as ended_at
    from transactions
    left join first_ends
        on transactions.transaction_id = first_ends.transaction_id
    left join parties
        on transactions.transaction_id = parties.transaction_id
    left join status_classes
        on
            transactions.source = status_classes.source
            and transactions.flow = status_classes.flow
            and lower(transactions.status_raw) = status_classes.status_word
    left join pending_ttls as by_type
        on
            transactions.flow = by_type.flow
            and transactions.source = 'payshack'
            and transactions.payment_method = by_type.transaction_type
    left join pending_ttls as by_default
        on transactions.flow = by_default.flow and by_default.transaction_type = 'default'

),

final as (

    select
        transaction_id,
        source,
        flow,
        coalesce(project, 'unknown') as project,
        coalesce(merchant, 'unknown') as merchant,
        coalesce(payment_method, 'unknown') as payment_method,
        coalesce(currency, 'unknown') as currency,
        coalesce(country, 'unknown') as country,
        coalesce(bank_handle, 'unknown') as bank_handle,
        amount,
        {{ amount_band_of('amount') }} as amount_band,
        fee,
        status,
        coalesce(status_raw, 'unknown') as status_raw,
        counted_at,
        {{ bucket_of('counted_at') }} as bucket_at,
        business_date,
        -- Only where an end is still awaited, so that the search for those meets nothing old.
        case when status = 'pending' then counted_at end as awaited_since,
        -- Whoever waits for the user will expire; what the provider works on may stay so.
        case
            when status = 'pending' and status_class = 'W' then 'user'
            when status = 'pending' then 'provider'
        end as awaited_from,
        ended_as,
        ended_at,
        case
            -- Clocks of two machines may disagree by a little: an end before the beginning took no time.
            when ended_as in ('success', 'failed') and ended_at < created_at then 0
            when ended_as in ('success', 'failed') then trim_scale(extract(epoch from ended_at - created_at))
        end as seconds_to_final
    from timed

)

select
    final.transaction_id,
    {%- for column in said %}
    final.{{ column }},
    {%- endfor %}
    {{ current_xid() }} as changed_xid
from final
{% if is_incremental() %}
-- What says nothing new keeps its row.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.transaction_id = final.transaction_id
            and {{ same_values('known', 'final', said) }}
    )
{% endif %}
