-- If this fails, a dashboard counts other payments than those it drills into.
with

by_transactions as (

    select
        business_date,
        source,
        count(*) as created_count,
        coalesce(sum(amount), 0) as created_amount,
        count(*) filter (where status = 'success') as success_count
    from {{ ref('fct_transactions') }}
    group by business_date, source

),

by_day as (

    select
        business_date,
        source,
        sum(created_count) as created_count,
        sum(created_amount) as created_amount,
        sum(success_count - refunded_count - chargeback_count) as success_count
    from {{ ref('rpt_metrics_daily') }}
    group by business_date, source

),

by_hour as (

    select
        business_date,
        source,
        sum(created_count) as created_count,
        sum(created_amount) as created_amount,
        sum(success_count - refunded_count - chargeback_count) as success_count
    from {{ ref('rpt_metrics_hourly') }}
    group by business_date, source

)

select
    coalesce(by_transactions.business_date, by_day.business_date, by_hour.business_date) as business_date,
    coalesce(by_transactions.source, by_day.source, by_hour.source) as source,
    by_transactions.created_count as transactions_created,
    by_day.created_count as day_created,
    by_hour.created_count as hours_created
from by_transactions
full outer join by_day
    on by_transactions.business_date = by_day.business_date and by_transactions.source = by_day.source
full outer join by_hour
    on
        coalesce(by_transactions.business_date, by_day.business_date) = by_hour.business_date
        and coalesce(by_transactions.source, by_day.source) = by_hour.source
where
    (by_transactions.created_count, by_transactions.created_amount, by_transactions.success_count)
    is distinct from (by_day.created_count, by_day.created_amount, by_day.success_count)
    or (by_day.created_count, by_day.created_amount, by_day.success_count)
    is distinct from (by_hour.created_count, by_hour.created_amount, by_hour.success_count)
