{{ config(materialized='view', group='reporting') }}

{% set reporting = var('reporting_currency') %}

with

days as (

    select * from {{ ref('fct_metrics_daily') }}
    where clock = 'business'

),

fx_rates as (

    select * from {{ ref('dim_fx_rates') }}

),

currencies as (

    select * from {{ ref('currencies') }}

),

trust as (

    select * from {{ ref('rpt_trust') }}

),

reconciliation as (

    select * from {{ ref('rpt_reconciliation_daily') }}

),

-- Both directions of every rate that leads to the reporting currency.
prices as (

    select
        base_currency as currency,
        rate_date,
        origin,
        rate_name,
        rate
    from fx_rates
    where quote_currency = '{{ reporting }}'
    union all
    select
        quote_currency as currency,
        rate_date,
        origin,
        rate_name || ', inverted' as rate_name,
        round(1 / rate, 10) as rate
    from fx_rates
    where base_currency = '{{ reporting }}'

),

summed as (

    select
        day,
        source,
        project,
        flow,
        currency,
        sum(created_count)::bigint as created_count,
        sum(success_count)::bigint as success_count,
        sum(pending_count)::bigint as pending_count,
        sum(created_amount) as created_amount,
        sum(success_amount) as success_amount,
        sum(returned_amount) as returned_amount,
        sum(fee_amount) as fee_amount
    from days
    group by day, source, project, flow, currency

),

-- The newest rate that was known on the day; of one date the reviewed one goes before what the source sent.
priced as (

    select
        summed.*,
        case when summed.currency = '{{ reporting }}' then 1 else found.rate end as rate,
        case when summed.currency = '{{ reporting }}' then summed.day else found.rate_date end as rate_date,
        case when summed.currency = '{{ reporting }}' then 'same currency' else found.rate_name end as rate_name
    from summed
    left join lateral (
        select
            prices.rate,
            prices.rate_date,
            prices.rate_name
        from prices
        where prices.currency = summed.currency and prices.rate_date <= summed.day
        order by prices.rate_date desc, prices.origin asc, prices.rate_name asc
        limit 1
    ) as found on true

)

select
    priced.day as business_date,
    priced.source,
    priced.project,
    priced.flow,
    priced.currency,
    '{{ reporting }}' as reporting_currency,
    priced.rate,
    priced.rate_date,
    priced.rate_name,
    priced.created_count,
    priced.success_count,
    priced.created_amount,
    priced.success_amount,
    priced.returned_amount,
    priced.fee_amount,
    round(priced.created_amount * priced.rate, currencies.minor_unit_exponent) as created_amount_converted,
    round(priced.success_amount * priced.rate, currencies.minor_unit_exponent) as success_amount_converted,
    round(priced.returned_amount * priced.rate, currencies.minor_unit_exponent) as returned_amount_converted,
    round(priced.fee_amount * priced.rate, currencies.minor_unit_exponent) as fee_amount_converted,
    {{ trust_columns('priced', 'trust', 'reconciliation') }}
from priced
left join currencies
    on currencies.currency = '{{ reporting }}'
left join trust
    on priced.source = trust.source and priced.flow = trust.flow
left join reconciliation
    on
        priced.day = reconciliation.business_date
        and priced.project = reconciliation.project
        and priced.flow = reconciliation.flow
        and priced.currency = reconciliation.currency
