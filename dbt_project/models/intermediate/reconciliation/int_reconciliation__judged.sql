{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

{# The mart is read by name: it is downstream, and its previous state is what is wanted here. #}
{% set incremental = reads_changes_only('marts', 'fct_reconciliation') %}

with

compared as (

    select * from {{ ref('int_reconciliation__compared') }}

),

-- Imported without being kept: each use below finds its few rows by an index.
successes as not materialized (

    select
        transaction_id,
        source,
        flow,
        utr,
        rrn,
        coalesce(created_at, first_seen_at) as placed_at
    from {{ ref('int_transactions__current') }}
    where status_class = 'S'

),

keys as (

    select * from {{ ref('int_reconciliation__keys_changed') }}

),

class_words as (

    select * from {{ ref('status_class_words') }}

),

parameters as (

    select minutes * interval '1 minute' as reference_window
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'reference_window'

),

{{ records_that_share_a_reference() }},

days as (

    select distinct
        business_date,
        project,
        flow
    from compared
    where is_amount_different and abs(difference) <= tolerance

),

-- Differences within tolerance, also those of the day that are not judged in this run.
tolerated as (

    select
        reconciliation_id,
        business_date,
        project,
        flow,
        vima_currency as currency,
        event_at,
        abs(difference) as difference
    from compared
    where is_amount_different and abs(difference) <= tolerance
    {% if incremental %}
    union all
    select
        mart.reconciliation_id,
        mart.business_date,
        mart.project,
        mart.flow,
        mart.currency,
        mart.event_at,
        abs(mart.tolerated_difference) as difference
    from marts.fct_reconciliation as mart
    inner join days
        on
            mart.business_date = days.business_date
            and mart.project = days.project
            and mart.flow = days.flow
    where
        mart.tolerated_difference is not null
        and not exists (
            select 1
            from keys
            where keys.reconciliation_key = mart.reconciliation_key
        )
    {% endif %}

),

-- The ledger of a day: what has been tolerated up to and with each row.
tolerance_ledger as (

    select
        reconciliation_id,
        sum(difference) over (
            partition by business_date, project, flow, currency
            order by event_at asc, reconciliation_id asc
        ) as tolerated_so_far
    from tolerated

),

decided as (

    select
        compared.*,
        {{ money_effects() }},
        sharing_references.reconciliation_id is not null as is_duplicate_utr,
        tolerance_ledger.reconciliation_id is not null as is_within_tolerance,
        coalesce(tolerance_ledger.tolerated_so_far > compared.daily_cap, false) as is_tolerance_cap_passed
    from compared
    left join sharing_references
        on compared.reconciliation_id = sharing_references.reconciliation_id
    left join tolerance_ledger
        on compared.reconciliation_id = tolerance_ledger.reconciliation_id

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
                case
                    when
                        {{ business_date('typed.vima_created_at') }} <> {{ business_date('typed.payshack_created_at') }}
                        then 'cross_midnight'
                end
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
