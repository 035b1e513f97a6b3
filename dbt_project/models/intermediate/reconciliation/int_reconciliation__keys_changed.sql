{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_pending('fct_reconciliation') }}",
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['reconciliation_key'], 'unique': true}],
    )
}}

{# The mart is read by name and not by ref: it is downstream, and its previous state is what is wanted here. #}
{% set incremental = reads_changes_only('marts', 'fct_reconciliation') %}

with

transactions as (

    select * from {{ ref('int_transactions__current') }}

),

{% if incremental %}
changed as (

    select reconciliation_key, source, flow, utr, rrn
    from transactions
    where changed_xid >= {{ processed_xid('fct_reconciliation') }}
    union all
    select reconciliation_key, source, flow, utr, rrn
    from intermediate.left_behind
    where model = 'int_transactions__current' and changed_xid >= {{ processed_xid('fct_reconciliation') }}

),

-- Records that share a reference with a changed one: a duplicate appears or goes away for both.
sharing_reference as (

    select transactions.reconciliation_key
    from changed
    inner join transactions
        on changed.utr = transactions.utr and changed.source = transactions.source and changed.flow = transactions.flow
    union all
    select transactions.reconciliation_key
    from changed
    inner join transactions
        on changed.rrn = transactions.rrn and changed.source = transactions.source and changed.flow = transactions.flow

),

quarantined as (

    select 'key:' || order_key as reconciliation_key
    from {{ source('raw', 'quarantine') }}
    where order_key is not null and loaded_xid >= {{ processed_xid('fct_reconciliation') }}

),

-- Rows whose grace or TTL has ended, and rows that waited for the other source to be complete past them.
due as (

    select mart.reconciliation_key
    from marts.fct_reconciliation as mart
    left join {{ source('raw', 'source_watermarks') }} as watermarks
        on mart.awaited_source = watermarks.source and mart.flow = watermarks.flow
    where
        mart.review_at <= {{ psp_now() }}
        and (mart.awaited_watermark is null or watermarks.watermark >= mart.awaited_watermark)

),

{% endif %}
keys as (

    {% if incremental %}
    select reconciliation_key from changed
    union
    select reconciliation_key from sharing_reference
    union
    select reconciliation_key from quarantined
    union
    select reconciliation_key from due
    {% else %}
    select distinct reconciliation_key from transactions
    {% endif %}

)

select reconciliation_key from keys
