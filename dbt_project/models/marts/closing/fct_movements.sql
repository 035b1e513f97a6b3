{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ log_movements_left_behind() }}", "{{ drop_changed_movements() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['transaction_id']},
            {'columns': ['business_date', 'source']},
            {'columns': ['merchant', 'moved_at']},
            {'columns': ['changed_xid']},
        ],
    )
}}

with

{% if is_incremental() %}
changed as (

    {{ changed_movement_records() }}

),

{% endif %}
records as (

    select current_versions.*
    from {{ ref('int_transactions__current') }} as current_versions
    where
        current_versions.status_class in ('S', 'R', 'C')
        {% if is_incremental() %}
        and current_versions.transaction_id = any(array(select changed.transaction_id from changed))
        {% endif %}

),

words as (

    select distinct
        status,
        finality_rank
    from {{ ref('status_class_words') }}

),

history as (

    select
        versions.transaction_id,
        versions.version_id,
        versions.version_number,
        versions.status,
        versions.amount,
        versions.refunded_amount,
        versions.created_at,
        coalesce(versions.updated_at, versions.observed_at) as changed_at,
        words.finality_rank,
        max(words.finality_rank) over (
            partition by versions.transaction_id
            order by versions.version_number
            rows between unbounded preceding and 1 preceding
        ) as finality_before
    from records
    inner join {{ ref('fct_transaction_versions') }} as versions
        on records.transaction_id = versions.transaction_id
    inner join words
        on versions.status = words.status

),

-- What the record went through, less versions that a more final one had already outdone (R1).
stations as (

    select
        *,
        first_value(amount) over (partition by transaction_id order by version_number desc) as final_amount,
        first_value(status) over (partition by transaction_id order by version_number desc) as final_status,
        bool_or(status = 'success') over so_far as has_succeeded,
        bool_or(status = 'failed') over so_far as has_failed
    from history
    where finality_rank >= coalesce(finality_before, 0)
    window so_far as (partition by transaction_id order by version_number)

),

-- At each station of a payment: how much of it has gone back until then. A stated part, else all of it.
positions as (

    select
        *,
        case status
            when 'success' then 0
            when 'refunded' then coalesce(refunded_amount, final_amount)
            else final_amount
        end as returned_until_now
    from stations
    where
        status in ('success', 'refunded', 'chargeback')
        and final_status in ('success', 'refunded', 'chargeback')
        and final_amount is not null

),

steps as (

    select
        *,
        row_number() over by_version as station_number,
        returned_until_now - coalesce(lag(returned_until_now) over by_version, 0) as returned_now
    from positions
    window by_version as (partition by transaction_id order by version_number)

),

unsigned as (

    select
        transaction_id || ':payment' as movement_id,
        transaction_id,
        version_id,
        'payment' as kind,
        final_amount as amount,
        -- First seen when it had already gone back: when it was paid was never told, and is put at its creation.
        case when status = 'success' then changed_at else coalesce(created_at, changed_at) end as moved_at,
        status <> 'success' as is_moved_at_imputed,
        false as is_over_refund
    from steps
    where station_number = 1
    union all
    select
        version_id || ':return' as movement_id,
        transaction_id,
        version_id,
        case
            when status = 'chargeback' then 'chargeback'
            when transaction_id like 'payshack:payout:%' then 'return'
            when has_failed and not has_succeeded then 'reversal'
            else 'refund'
        end as kind,
        -returned_now as amount,
        changed_at as moved_at,
        false as is_moved_at_imputed,
        returned_until_now > final_amount as is_over_refund
    from steps
    where returned_now <> 0

)

select
    unsigned.movement_id,
    unsigned.transaction_id,
    records.source,
    records.flow,
    records.source_txn_id,
    records.order_key,
    records.project,
    records.merchant,
    unsigned.kind,
    case records.flow when 'payout' then -unsigned.amount else unsigned.amount end as amount,
    records.currency,
    unsigned.moved_at,
    {{ business_date('unsigned.moved_at') }} as business_date,
    {{ settlement_day('unsigned.moved_at') }} as settlement_day,
    unsigned.is_moved_at_imputed,
    unsigned.is_over_refund,
    unsigned.version_id,
    {{ current_xid() }} as changed_xid
from unsigned
inner join records
    on unsigned.transaction_id = records.transaction_id
