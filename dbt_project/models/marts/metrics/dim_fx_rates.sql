{{
    config(
        materialized='incremental',
        unique_key=['rate_date', 'base_currency', 'quote_currency', 'origin'],
        on_schema_change='fail',
        group='reporting',
        pre_hook="{{ note_pending() }}",
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

told as (

    select * from {{ ref('stg_vima__rates') }}
    {% if is_incremental() %}
    where loaded_xid >= {{ processed_xid() }}
    {% endif %}

),

reviewed as (

    select * from {{ ref('fx_reference_rates') }}

),

candidates as (

    select
        rate_date,
        base_currency,
        quote_currency,
        rate,
        told_at,
        source_order
    from told
    {% if is_incremental() %}
    union all
    select
        rate_date,
        base_currency,
        quote_currency,
        rate,
        told_at,
        source_order
    from {{ this }}
    where origin = 'vima'
    {% endif %}

),

-- The last rate of the day; the source's own order decides, so that it does not matter in which order rows were read.
last_told as (

    select distinct on (rate_date, base_currency, quote_currency) *
    from candidates
    order by
        rate_date asc, base_currency asc, quote_currency asc,
        told_at desc, source_order desc nulls last, rate desc

)

select
    last_told.rate_date,
    last_told.base_currency,
    last_told.quote_currency,
    'vima' as origin,
    last_told.rate,
    'Vima, last rate of the day' as rate_name,
    last_told.told_at,
    last_told.source_order
from last_told
union all
select
    reviewed.rate_date,
    reviewed.base_currency,
    reviewed.quote_currency,
    'reference' as origin,
    reviewed.rate,
    reviewed.rate_name,
    null as told_at,
    null as source_order
from reviewed
