-- If this fails, the day's report and the rows that it leads to disagree: nobody could sign the day.
with

by_rows as (

    select
        business_date,
        project,
        flow,
        count(*) as row_count,
        count(*) filter (where comparability = 'comparable') as comparable_count,
        count(*) filter (where outcome = 'matched') as matched_count,
        sum(exposure) as value_at_risk,
        sum(vima_effect) as vima_net,
        sum(payshack_effect) as payshack_net
    from {{ ref('fct_reconciliation') }}
    group by business_date, project, flow

),

by_report as (

    select
        business_date,
        project,
        flow,
        sum(records_count) as row_count,
        sum(comparable_count) as comparable_count,
        sum(matched_count) as matched_count,
        sum(value_at_risk) as value_at_risk,
        sum(vima_net) as vima_net,
        sum(payshack_net) as payshack_net
    from {{ ref('rpt_reconciliation_daily') }}
    group by business_date, project, flow

)

select
    coalesce(by_rows.business_date, by_report.business_date) as business_date,
    coalesce(by_rows.project, by_report.project) as project,
    coalesce(by_rows.flow, by_report.flow) as flow,
    by_rows.row_count as rows_of_facts,
    by_report.row_count as rows_of_report
from by_rows
full outer join by_report
    on
        by_rows.business_date = by_report.business_date
        and by_rows.project = by_report.project
        and by_rows.flow = by_report.flow
where
    (
        by_rows.row_count,
        by_rows.comparable_count,
        by_rows.matched_count,
        by_rows.vima_net,
        by_rows.payshack_net
    ) is distinct from (
        by_report.row_count,
        by_report.comparable_count,
        by_report.matched_count,
        by_report.vima_net,
        by_report.payshack_net
    )
    -- Less what people have decided, which may have become more since the report was written.
    or by_report.value_at_risk > by_rows.value_at_risk
