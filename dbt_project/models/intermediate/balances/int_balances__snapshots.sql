{{
    config(
        materialized='incremental',
        unique_key='snapshot_id',
        on_schema_change='fail',
        pre_hook="{{ note_pending() }}",
        post_hook="{{ note_processed() }}",
        indexes=[
            {'columns': ['snapshot_id'], 'unique': true},
            {'columns': ['merchant', 'business_date']},
        ],
    )
}}

with

versions as (

    select
        record_id,
        coalesce(payload ->> 'name', payload ->> 'companyName') as merchant,
        coalesce(
            {{ exact_numeric("payload ->> 'walletBalance'") }},
            {{ exact_numeric("payload ->> 'balance'") }}
        ) as balance,
        observed_at,
        {{ business_date('observed_at') }} as business_date
    from {{ source('raw', 'payshack_clients') }}
    {% if is_incremental() %}
    where loaded_xid >= {{ processed_xid() }}
    {% endif %}

),

-- The day's last word; of the days that this run has seen, and never behind what is known.
newest as (

    select distinct on (record_id, business_date)
        record_id,
        merchant,
        balance,
        observed_at,
        business_date
    from versions
    where balance is not null
    order by record_id asc, business_date asc, observed_at desc

)

select
    newest.record_id || ':' || newest.business_date as snapshot_id,
    newest.merchant,
    newest.business_date,
    newest.balance,
    newest.observed_at as snapshot_at,
    {{ current_xid() }} as changed_xid
from newest
{% if is_incremental() %}
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.snapshot_id = newest.record_id || ':' || newest.business_date
            and known.snapshot_at >= newest.observed_at
    )
{% endif %}
