{# Written in place: a table that is swapped at every run would take the views that read it along. #}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook="{{ empty_in_place() }}",
    )
}}

with

watermarks as (

    select * from {{ source('raw', 'source_watermarks') }}

),

flows (source, flow) as (

    values
    ('vima', 'payin'),
    ('vima', 'payout'),
    ('payshack', 'payin'),
    ('payshack', 'payout')

)

select
    flows.source,
    flows.flow,
    watermarks.watermark as as_of,
    extract(epoch from {{ psp_now() }} - watermarks.watermark)::numeric(18, 3) as lag_seconds,
    {{ psp_now() }} as evaluated_at
from flows
left join watermarks
    on flows.source = watermarks.source and flows.flow = watermarks.flow
