{{ config(materialized='table', indexes=[{'columns': ['business_date', 'kind'], 'unique': true}]) }}

with

closes as (

    select * from {{ source('closing', 'day_closes') }}

),

adjustments as (

    select
        close_number,
        count(*) as adjustments_count,
        sum(
            coalesce((known_since ->> 'vima_effect')::numeric, 0)
            - coalesce((known_before ->> 'vima_effect')::numeric, 0)
        ) as vima_adjustment,
        sum(
            coalesce((known_since ->> 'payshack_effect')::numeric, 0)
            - coalesce((known_before ->> 'payshack_effect')::numeric, 0)
        ) as payshack_adjustment
    from {{ source('closing', 'adjustments') }}
    group by close_number

)

select
    closes.close_number,
    closes.business_date,
    closes.kind,
    closes.closed_at,
    closes.closed_by,
    closes.as_known_at,
    closes.rule_version,
    closes.line_count,
    closes.report_hash,
    closes.previous_hash,
    closes.close_hash,
    coalesce(adjustments.adjustments_count, 0) as adjustments_count,
    coalesce(adjustments.vima_adjustment, 0) as vima_adjustment,
    coalesce(adjustments.payshack_adjustment, 0) as payshack_adjustment
from closes
left join adjustments
    on closes.close_number = adjustments.close_number
