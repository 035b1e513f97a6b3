{{
    config(
        materialized='incremental',
        unique_key='snapshot_id',
        on_schema_change='fail',
        pre_hook="{{ note_pending() }}",
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['snapshot_id'], 'unique': true},
            {'columns': ['merchant', 'business_date']},
            {'columns': ['merchant', 'snapshot_at']},
            {'columns': ['changed_xid']},
        ],
    )
}}

with

snapshots as (

    select * from {{ source('raw', 'payshack_balance_snapshots') }}

),

clients as (

    select * from {{ source('raw', 'payshack_clients') }}

),

readings as (

    select
        snapshots.client_id,
        snapshots.balance,
        snapshots.observed_at,
        {{ business_date('snapshots.observed_at') }} as business_date,
        coalesce({{ client_name('clients.payload') }}, snapshots.client_id) as merchant
    from snapshots
    left join clients
        on
            snapshots.client_id = clients.record_id
            and snapshots.content_hash = clients.content_hash
    where
        snapshots.balance is not null
        {% if is_incremental() %}
        and snapshots.loaded_xid >= {{ processed_xid() }}
        {% endif %}

),

-- The day's last word; of the days that this run has seen, and never behind what is known. By name, too: under the old
-- one a renamed client keeps what was last read of it.
newest as (

    select distinct on (client_id, merchant, business_date) *
    from readings
    order by client_id asc, merchant asc, business_date asc, observed_at desc

),

identified as (

    select
        client_id || ':' || business_date || ':' || merchant as snapshot_id,
        merchant,
        business_date,
        trim_scale(balance) as balance,
        observed_at as snapshot_at
    from newest

)

select
    identified.*,
    {{ current_xid() }} as changed_xid
from identified
{% if is_incremental() %}
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.snapshot_id = identified.snapshot_id
            and known.snapshot_at >= identified.snapshot_at
    )
{% endif %}
