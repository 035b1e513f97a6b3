{{ config(materialized='view', group='reporting') }}

with

holidays as (

    select * from {{ ref('holidays') }}

),

days as (

    select day::date as business_date
    from generate_series(date '{{ var("first_date") }}', date '{{ var("last_date") }}', interval '1 day') as day

)

select
    days.business_date,
    extract(isodow from days.business_date)::integer as weekday,
    to_char(days.business_date, 'Dy') as weekday_name,
    extract(isodow from days.business_date) >= 6 as is_weekend,
    date_trunc('week', days.business_date)::date as week_begins_on,
    extract(week from days.business_date)::integer as iso_week,
    extract(isoyear from days.business_date)::integer as iso_year,
    date_trunc('month', days.business_date)::date as month_begins_on,
    extract(month from days.business_date)::integer as month_number,
    date_trunc('quarter', days.business_date)::date as quarter_begins_on,
    -- India's financial year begins in April and is named by the year in which it begins.
    extract(year from days.business_date - interval '3 months')::integer as financial_year,
    holidays.name as holiday_name,
    coalesce(holidays.is_bank_closed, false) as is_bank_holiday,
    {{ start_of_day('days.business_date', 'business') }} as begins_at,
    {{ start_of_day('(days.business_date + 1)', 'business') }} as ends_at,
    {{ start_of_day('days.business_date', 'settlement') }} as settlement_begins_at,
    {{ start_of_day('(days.business_date + 1)', 'settlement') }} as settlement_ends_at
from days
left join holidays
    on days.business_date = holidays.holiday_date and holidays.country = 'IN'
