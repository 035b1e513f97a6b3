{# Part of the mart's own statement: written out, a million wide rows would be written twice. #}
{{ config(materialized='ephemeral') }}

with

compared as (

    select * from {{ ref('int_reconciliation__compared') }}

),

crosschecked as (

    select * from {{ ref('int_reconciliation__crosschecked') }}

),

class_words as not materialized (

    select * from {{ ref('status_class_words') }}

),

decided as (

    select
        compared.*,
        {{ money_effects() }},
        coalesce(crosschecked.is_duplicate_utr, false) as is_duplicate_utr,
        crosschecked.tolerated_so_far is not null as is_within_tolerance,
        coalesce(crosschecked.tolerated_so_far > compared.daily_cap, false) as is_tolerance_cap_passed
    from compared
    left join crosschecked
        on compared.reconciliation_id = crosschecked.reconciliation_id

),

typed as (

    select
        decided.*,
        case
            when decided.comparability <> 'comparable' then null
            when
                decided.matrix_outcome = 'matched'
                and (
                    decided.is_currency_different
                    or (decided.is_amount_different and not decided.is_within_tolerance)
                    or decided.is_tolerance_cap_passed
                    or {{ refund_disagrees('decided') }}
                )
                then 'discrepancy_amount'
            else decided.matrix_outcome
        end as outcome,
        case
            when decided.is_amount_different is not true then null
            when decided.is_within_tolerance then 'within_tolerance'
            when decided.difference is null then 'amount_missing'
            when abs(decided.difference) in (decided.vima_fee, decided.payshack_fee) then 'fee_netted'
            when
                decided.payshack_amount = decided.vima_amount * 100
                or decided.vima_amount = decided.payshack_amount * 100
                then 'unit_error'
            when decided.difference < 0 then 'underpaid'
            else 'overpaid'
        end as amount_reason
    from decided

),

reasoned as (

    select
        typed.*,
        -- In the order of the reasons seed.
        array_remove(
            array[
                case when typed.order_key is null then 'no_key' end,
                case when typed.is_key_collision then 'key_collision' end,
                case when typed.is_counterpart_quarantined then 'counterpart_quarantined' end,
                case typed.match_state when 'ambiguous' then 'ambiguous_reference' end,
                case typed.match_state when 'by_reference' then 'matched_by_reference' end,
                case when typed.is_duplicate_success then 'duplicate_success' end,
                case when typed.is_duplicate_utr then 'duplicate_utr' end,
                case when typed.outcome in ('missing_vima', 'missing_payshack') then 'missing_side' end,
                case
                    when typed.comparability = 'informational' and typed.matrix_reason = 'not_sent' then 'not_sent'
                end,
                case when typed.is_currency_different then 'currency_mismatch' end,
                case
                    when
                        typed.comparability in ('comparable', 'informational')
                        and typed.matrix_reason not in ('missing_side', 'not_sent')
                        then typed.matrix_reason
                end,
                case when typed.is_self_inconsistent then 'source_self_inconsistent' end,
                case when typed.is_status_regression then 'status_regression' end,
                {{ refund_reason('typed') }},
                typed.amount_reason,
                case when typed.is_tolerance_cap_passed then 'tolerance_cap_passed' end,
                case when typed.is_requested_paid_different then 'requested_paid_differ' end,
                case when typed.is_paid_amount_missing then 'paid_amount_missing' end,
                case when typed.comparability = 'comparable' and typed.fee_variance <> 0 then 'fee_variance' end,
                case when typed.is_flow_assumed then 'flow_assumed' end,
                case when typed.is_cross_midnight then 'cross_midnight' end
            ],
            null
        ) as reasons,
        case
            when typed.comparability <> 'comparable' or typed.outcome = 'matched' then 0
            when typed.is_currency_different
                then coalesce(typed.vima_amount, typed.payshack_amount, 0)
            when typed.outcome = 'discrepancy_amount' and not {{ nets_differ('typed') }}
                then coalesce(abs(typed.difference), typed.vima_amount, typed.payshack_amount, 0)
            when array['C', 'T', 'U'] && array[typed.vima_class, typed.payshack_class]
                then coalesce(greatest(typed.vima_amount, typed.payshack_amount), 0)
            else abs(typed.vima_effect - typed.payshack_effect)
        end as exposure
    from typed

)

select
    reasoned.reconciliation_id,
    reasoned.reconciliation_key,
    reasoned.flow,
    reasoned.project,
    reasoned.order_key,
    reasoned.outcome,
    reasoned.comparability,
    reasoned.match_state,
    reasoned.reasons,
    case
        when reasoned.comparability <> 'comparable' then null
        when reasoned.is_duplicate_success or reasoned.is_duplicate_utr or reasoned.is_over_refund then 'critical'
        when reasoned.outcome = 'matched' then null
        when reasoned.outcome = 'discrepancy_amount' then 'high'
        else reasoned.matrix_severity
    end as severity,
    reasoned.exposure,
    case
        when reasoned.exposure = 0 or reasoned.is_currency_different then null
        when 'C' in (reasoned.vima_class, reasoned.payshack_class) then 'platform'
        when reasoned.vima_effect > reasoned.payshack_effect
            then case reasoned.flow when 'payin' then 'platform' else 'beneficiary' end
        when reasoned.vima_effect < reasoned.payshack_effect
            then case reasoned.flow when 'payin' then 'customer' else 'platform' end
    end as exposure_side,
    reasoned.vima_transaction_id,
    reasoned.payshack_transaction_id,
    reasoned.vima_attempt_ids,
    reasoned.payshack_attempt_ids,
    reasoned.vima_amount,
    reasoned.payshack_amount,
    vima_words.status as vima_status,
    payshack_words.status as payshack_status,
    coalesce(reasoned.vima_currency, reasoned.payshack_currency) as currency,
    reasoned.payshack_currency,
    reasoned.vima_effect,
    reasoned.payshack_effect,
    reasoned.expected_fee,
    reasoned.fee_variance,
    case when reasoned.is_within_tolerance then reasoned.difference end as tolerated_difference,
    reasoned.business_date,
    reasoned.event_at,
    reasoned.review_at,
    reasoned.awaited_source,
    reasoned.awaited_watermark
from reasoned
left join class_words as vima_words
    on reasoned.vima_class = vima_words.status_class
left join class_words as payshack_words
    on reasoned.payshack_class = payshack_words.status_class
