{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_reconciliation_days(touched_or_decided_days()) }}"],
        post_hook=["{{ book_adjustments() }}", "{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

{{ affected_reconciliations(touched_or_decided_days()) }},

-- A row that names two currencies enters the money of each, and is counted once, under Vima's.
-- What a person has decided is no longer at risk.
entries as (

    select
        affected.business_date,
        affected.project,
        affected.flow,
        affected.currency,
        affected.outcome,
        affected.comparability,
        1 as row_count,
        case when decided.state is null then affected.exposure else 0 end as exposure,
        affected.vima_effect,
        case
            when affected.payshack_currency is null or affected.payshack_currency = affected.currency
                then affected.payshack_effect
            else 0
        end as payshack_effect
    from affected
    {{ join_decision('affected') }}
    union all
    select
        business_date,
        project,
        flow,
        payshack_currency as currency,
        outcome,
        comparability,
        0 as row_count,
        0 as exposure,
        0 as vima_effect,
        payshack_effect
    from affected
    where payshack_currency <> currency

),

summed as (

    select
        business_date,
        project,
        flow,
        coalesce(currency, 'unknown') as currency,
        sum(row_count) as records_count,
        coalesce(sum(row_count) filter (where comparability = 'comparable'), 0) as comparable_count,
        coalesce(sum(row_count) filter (where outcome = 'matched'), 0) as matched_count,
        coalesce(sum(row_count) filter (where outcome = 'discrepancy_amount'), 0) as discrepancy_amount_count,
        coalesce(sum(row_count) filter (where outcome = 'discrepancy_status'), 0) as discrepancy_status_count,
        coalesce(sum(row_count) filter (where outcome = 'missing_vima'), 0) as missing_vima_count,
        coalesce(sum(row_count) filter (where outcome = 'missing_payshack'), 0) as missing_payshack_count,
        coalesce(sum(row_count) filter (where comparability = 'in_flight'), 0) as in_flight_count,
        coalesce(sum(row_count) filter (where comparability = 'not_yet_comparable'), 0) as not_yet_comparable_count,
        coalesce(sum(row_count) filter (where comparability = 'informational'), 0) as informational_count,
        coalesce(sum(vima_effect) filter (where outcome = 'matched'), 0) as matched_amount,
        coalesce(sum(greatest(vima_effect, payshack_effect)) filter (where comparability = 'comparable'), 0)
            as comparable_amount,
        sum(exposure) as value_at_risk,
        sum(vima_effect) as vima_net,
        sum(payshack_effect) as payshack_net,
        coalesce(sum(vima_effect - payshack_effect) filter (where outcome = 'matched'), 0) as bridge_tolerance,
        coalesce(sum(vima_effect - payshack_effect) filter (where outcome = 'discrepancy_amount'), 0)
            as bridge_discrepancy_amount,
        coalesce(sum(vima_effect - payshack_effect) filter (where outcome = 'discrepancy_status'), 0)
            as bridge_discrepancy_status,
        coalesce(sum(vima_effect - payshack_effect) filter (where outcome = 'missing_vima'), 0) as bridge_missing_vima,
        coalesce(sum(vima_effect - payshack_effect) filter (where outcome = 'missing_payshack'), 0)
            as bridge_missing_payshack,
        coalesce(sum(vima_effect - payshack_effect) filter (where comparability = 'in_flight'), 0) as bridge_in_flight,
        coalesce(sum(vima_effect - payshack_effect) filter (where comparability = 'not_yet_comparable'), 0)
            as bridge_not_yet_comparable,
        coalesce(sum(vima_effect - payshack_effect) filter (where comparability = 'informational'), 0)
            as bridge_informational
    from entries
    group by business_date, project, flow, coalesce(currency, 'unknown')

)

select
    summed.business_date,
    summed.project,
    summed.flow,
    summed.currency,
    summed.records_count,
    summed.comparable_count,
    summed.matched_count,
    summed.discrepancy_amount_count,
    summed.discrepancy_status_count,
    summed.missing_vima_count,
    summed.missing_payshack_count,
    summed.in_flight_count,
    summed.not_yet_comparable_count,
    summed.informational_count,
    round(summed.matched_count::numeric / nullif(summed.comparable_count, 0), 6) as match_rate,
    round(summed.matched_amount / nullif(summed.comparable_amount, 0), 6) as match_rate_by_amount,
    summed.matched_amount,
    summed.comparable_amount,
    summed.value_at_risk,
    summed.vima_net,
    summed.payshack_net,
    summed.bridge_tolerance,
    summed.bridge_discrepancy_amount,
    summed.bridge_discrepancy_status,
    summed.bridge_missing_vima,
    summed.bridge_missing_payshack,
    summed.bridge_in_flight,
    summed.bridge_not_yet_comparable,
    summed.bridge_informational,
    summed.vima_net - summed.payshack_net
    - summed.bridge_tolerance - summed.bridge_discrepancy_amount - summed.bridge_discrepancy_status
    - summed.bridge_missing_vima - summed.bridge_missing_payshack - summed.bridge_in_flight
    - summed.bridge_not_yet_comparable - summed.bridge_informational as bridge_residual
from summed
