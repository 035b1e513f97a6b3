{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_pending('fct_reconciliation') }}",
        post_hook='analyze {{ this }}',
    )
}}

{# The mart is read by name and not by ref: it is downstream, and its previous state is what is wanted here. #}
{% set incremental = reads_changes_only('marts', 'fct_reconciliation') %}

-- depends_on: {{ ref('amount_tolerances') }}
-- depends_on: {{ source('raw', 'quarantine') }}
-- depends_on: {{ source('raw', 'source_watermarks') }}

with recursive

-- Imported without being kept: each use below finds its few rows by an index.
transactions as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

{% if incremental %}
quarantine as not materialized (

    select * from {{ source('raw', 'quarantine') }}

),

tolerances as (

    select * from {{ ref('amount_tolerances') }}
    where tolerance_minor > 0

),

changed as (

    select
        reconciliation_key,
        source,
        flow,
        utr,
        rrn
    from transactions
    where changed_xid >= {{ processed_xid('fct_reconciliation') }}
    union all
    select
        reconciliation_key,
        source,
        flow,
        utr,
        rrn
    from intermediate.left_behind
    where model = 'int_transactions__current' and changed_xid >= {{ processed_xid('fct_reconciliation') }}

),

-- Records that share a reference with a changed one, by what it is now and by what it was: a duplicate appears or goes
-- away for both, or what references tie together.
sharing_reference as (

    select other.reconciliation_key
    from changed
    cross join lateral unnest(array[changed.utr, changed.rrn]) as reference (value)
    -- Once per reference, by index: it cannot be a CTE.
    cross join lateral ({{ records_with_reference('reference.value') }}) as other  -- noqa: ST05
    where other.flow = changed.flow

),

-- Records that came into quarantine, and rows that still say so of one that has left it.
quarantined as (

    select 'key:' || order_key as reconciliation_key
    from quarantine
    where order_key is not null and loaded_xid >= {{ processed_xid('fct_reconciliation') }}
    union all
    select reconciliation_key
    from marts.fct_reconciliation
    where
        reconciliation_key = any(array(
            select 'key:' || quarantine.order_key
            from quarantine
            where quarantine.replayed_at is not null
        ))
        and 'counterpart_quarantined' = any(reasons)

),

-- Rows whose grace or TTL has ended, and rows that waited for the other source to be complete past them.
due as (

    select reconciliation_key
    from marts.fct_reconciliation
    where review_at <= {{ psp_now() }}
    union all
    select mart.reconciliation_key
    from {{ source('raw', 'source_watermarks') }} as watermarks
    inner join marts.fct_reconciliation as mart
        on
            watermarks.source = mart.awaited_source
            and watermarks.flow = mart.flow
            and watermarks.watermark >= mart.awaited_watermark
    -- Says what the comparison implies, so that the planner knows how few there are.
    where mart.awaited_watermark is not null

),

beginnings as (

    select reconciliation_key from changed
    union
    select reconciliation_key from sharing_reference
    union
    select reconciliation_key from quarantined
    union
    select reconciliation_key from due

),

{{ orders_tied_by_reference('touched', 'beginnings') }},

-- Days whose ledger of tolerated differences may move; none while every tolerance is 0.
tolerant_days as (

    select
        transactions.business_date,
        transactions.project,
        transactions.flow
    from touched
    inner join transactions
        on touched.reconciliation_key = transactions.reconciliation_key
    inner join tolerances
        on transactions.project = tolerances.project
    union
    select
        mart.business_date,
        mart.project,
        mart.flow
    from touched
    inner join marts.fct_reconciliation as mart
        on touched.reconciliation_key = mart.reconciliation_key
    inner join tolerances
        on mart.project = tolerances.project

),

tolerated as (

    select mart.reconciliation_key
    from tolerant_days
    inner join marts.fct_reconciliation as mart
        on
            tolerant_days.business_date = mart.business_date
            and tolerant_days.project = mart.project
            and tolerant_days.flow = mart.flow
    where mart.tolerated_difference is not null

),

touched_or_tolerated as (

    select reconciliation_key from touched
    union
    select reconciliation_key from tolerated

),

{{ orders_tied_by_reference('keys', 'touched_or_tolerated') }}
{% else %}
keys as (

    select distinct reconciliation_key from transactions

)
{% endif %}

select reconciliation_key from keys
