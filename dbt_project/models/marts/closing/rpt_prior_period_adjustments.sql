{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ note_pending() }}",
        post_hook="{{ note_processed() }}",
        indexes=[
            {'columns': ['booked_on']},
            {'columns': ['business_date']},
        ],
    )
}}

-- depends_on: {{ ref('rpt_reconciliation_daily') }}

with

adjustments as (

    select * from {{ source('closing', 'adjustments') }}
    {% if is_incremental() %}
    where changed_xid >= {{ processed_xid() }}
    {% endif %}

)

select
    adjustments.adjustment_id,
    adjustments.close_number,
    adjustments.business_date,
    adjustments.booked_on,
    adjustments.known_at,
    adjustments.reconciliation_id,
    adjustments.change,
    coalesce(adjustments.known_since ->> 'project', adjustments.known_before ->> 'project') as project,
    coalesce(adjustments.known_since ->> 'flow', adjustments.known_before ->> 'flow') as flow,
    coalesce(adjustments.known_since ->> 'currency', adjustments.known_before ->> 'currency') as currency,
    coalesce(adjustments.known_since ->> 'order_key', adjustments.known_before ->> 'order_key') as order_key,
    adjustments.known_before ->> 'outcome' as outcome_before,
    adjustments.known_since ->> 'outcome' as outcome_since,
    coalesce((adjustments.known_since ->> 'vima_effect')::numeric, 0)
    - coalesce((adjustments.known_before ->> 'vima_effect')::numeric, 0) as vima_adjustment,
    coalesce((adjustments.known_since ->> 'payshack_effect')::numeric, 0)
    - coalesce((adjustments.known_before ->> 'payshack_effect')::numeric, 0) as payshack_adjustment
from adjustments
{% if is_incremental() %}
where
    not exists (
        select 1
        from {{ this }} as known
        where known.adjustment_id = adjustments.adjustment_id
    )
{% endif %}
