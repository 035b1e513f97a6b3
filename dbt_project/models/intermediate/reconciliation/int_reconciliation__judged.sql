{{
    config(
        materialized='table',
        unlogged=true,
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['reconciliation_id'], 'unique': true}, {'columns': ['reconciliation_key']}],
    )
}}

with

reconciliation_rows as (

    select * from {{ ref('int_reconciliation__rows') }}

),

legs as (

    select * from {{ ref('int_reconciliation__legs') }}

),

transactions as (

    select * from {{ ref('int_transactions__current') }}

),

pair_matrix as (

    select * from {{ ref('pair_matrix') }}

),

class_words as (

    select * from {{ ref('status_class_words') }}

),

watermarks as (

    select * from {{ source('raw', 'source_watermarks') }}

),

tolerances as (

    select * from {{ ref('amount_tolerances') }}

),

parameters as (

    select
        max(minutes) filter (where parameter = 'clock_allowance') * interval '1 minute' as clock_allowance,
        max(minutes) filter (where parameter = 'reference_window') * interval '1 minute' as reference_window
    from {{ ref('reconciliation_parameters') }}

),

pending_ttls as (

    select * from {{ ref('pending_ttls') }}

),

-- The next instant at which any record of the order changes class by the clock alone.
next_changes as (

    select
        match_space,
        min(next_change_at) as next_change_at
    from legs
    group by match_space

),

joined as (

    select
        reconciliation_rows.*,
        coalesce(vima.match_space, payshack.match_space) as match_space,
        coalesce(vima.effective_class, 'none') as vima_class,
        coalesce(payshack.effective_class, 'none') as payshack_class,
        vima.created_at as vima_created_at,
        payshack.created_at as payshack_created_at,
        coalesce(vima.created_at, payshack.created_at, vima.placed_at, payshack.placed_at) as event_at,
        greatest(vima.placed_at, payshack.placed_at) as placed_at,
        vima.updated_at as vima_updated_at,
        payshack.updated_at as payshack_updated_at,
        greatest(vima.updated_at, payshack.updated_at) as newest_updated_at,
        vima.currency as vima_currency,
        payshack.currency as payshack_currency,
        vima.amount as vima_amount,
        payshack.amount as payshack_amount,
        {{ to_minor('vima.amount', 'vima.minor_unit_exponent') }} as vima_minor,
        {{ to_minor('payshack.amount', 'payshack.minor_unit_exponent') }} as payshack_minor,
        {{ to_minor('vima.fee', 'vima.minor_unit_exponent') }} as vima_fee_minor,
        {{ to_minor('payshack.fee', 'payshack.minor_unit_exponent') }} as payshack_fee_minor,
        coalesce(vima.effective_class = 'S' and vima.requested_amount <> vima.paid_amount, false)
        or coalesce(payshack.effective_class = 'S' and payshack.requested_amount <> payshack.paid_amount, false)
            as is_requested_paid_different,
        coalesce(payshack.is_paid_amount_missing, false) as is_paid_amount_missing,
        coalesce(vima.is_flow_assumed, false) as is_flow_assumed,
        coalesce(vima.is_self_inconsistent, false) as is_self_inconsistent,
        coalesce(vima.is_status_regression, false)
        or coalesce(payshack.is_status_regression, false) as is_status_regression,
        payshack.transaction_type,
        payshack.utr,
        payshack.rrn,
        next_changes.next_change_at
    from reconciliation_rows
    left join legs as vima
        on reconciliation_rows.vima_transaction_id = vima.transaction_id
    left join legs as payshack
        on reconciliation_rows.payshack_transaction_id = payshack.transaction_id
    inner join next_changes
        on coalesce(vima.match_space, payshack.match_space) = next_changes.match_space

),

-- One reference on two successful records of a source within the window: both are shown, neither is matched by it.
sharing_references as (

    select distinct joined.reconciliation_id
    from joined
    cross join parameters
    inner join transactions
        on
            joined.utr = transactions.utr
            and joined.flow = transactions.flow
            and joined.payshack_transaction_id <> transactions.transaction_id
    where
        joined.payshack_class = 'S'
        and transactions.source = 'payshack'
        and transactions.status_class = 'S'
        and abs(extract(epoch from transactions.created_at - joined.payshack_created_at))
        <= extract(epoch from parameters.reference_window)
    union
    select distinct joined.reconciliation_id
    from joined
    cross join parameters
    inner join transactions
        on
            joined.rrn = transactions.rrn
            and joined.flow = transactions.flow
            and joined.payshack_transaction_id <> transactions.transaction_id
    where
        joined.payshack_class = 'S'
        and transactions.source = 'payshack'
        and transactions.status_class = 'S'
        and abs(extract(epoch from transactions.created_at - joined.payshack_created_at))
        <= extract(epoch from parameters.reference_window)

),

looked_up as (

    select
        joined.*,
        sharing_references.reconciliation_id is not null as is_duplicate_utr,
        pair_matrix.grace_basis,
        pair_matrix.comparability_before,
        pair_matrix.outcome as matrix_outcome,
        pair_matrix.comparability as matrix_comparability,
        pair_matrix.reason as matrix_reason,
        pair_matrix.severity as matrix_severity,
        case pair_matrix.grace_basis
            when 'ttl'
                then joined.placed_at + make_interval(mins => coalesce(by_type.ttl_minutes, by_default.ttl_minutes))
            when 'single' then joined.placed_at + make_interval(mins => pair_matrix.grace_minutes)
            when 'pair_created' then joined.placed_at + make_interval(mins => pair_matrix.grace_minutes)
            when 'pair_updated' then joined.newest_updated_at + make_interval(mins => pair_matrix.grace_minutes)
            when 'failure_updated'
                then
                    case when joined.vima_class in ('F', 'X') then joined.vima_updated_at else joined.payshack_updated_at end
                    + make_interval(mins => pair_matrix.grace_minutes)
            when 'refund_updated'
                then
                    case when joined.vima_class = 'R' then joined.vima_updated_at else joined.payshack_updated_at end
                    + make_interval(mins => pair_matrix.grace_minutes)
        end as grace_ends_at,
        case
            when pair_matrix.grace_basis <> 'single' then null
            when joined.vima_class = 'none' then 'vima'
            else 'payshack'
        end as awaited_source,
        case when pair_matrix.grace_basis = 'single' then joined.placed_at + parameters.clock_allowance end
            as awaited_watermark,
        coalesce(tolerances.tolerance_minor, 0) as tolerance_minor
    from joined
    cross join parameters
    left join sharing_references
        on joined.reconciliation_id = sharing_references.reconciliation_id
    left join pair_matrix
        on
            joined.flow = pair_matrix.flow
            and joined.vima_class = pair_matrix.vima_class
            and joined.payshack_class = pair_matrix.payshack_class
    left join pending_ttls as by_type
        on joined.flow = by_type.flow and joined.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on joined.flow = by_default.flow and by_default.transaction_type = 'default'
    left join tolerances
        on joined.project = tolerances.project and joined.vima_currency = tolerances.currency

),

timed as (

    select
        looked_up.*,
        looked_up.grace_ends_at is null or looked_up.grace_ends_at <= {{ psp_now() }} as is_grace_over,
        looked_up.awaited_source is null or coalesce(watermarks.watermark >= looked_up.awaited_watermark, false)
            as is_other_source_complete
    from looked_up
    left join watermarks
        on looked_up.awaited_source = watermarks.source and looked_up.flow = watermarks.flow

),

compared as (

    select
        timed.*,
        case
            when not is_grace_over then comparability_before
            when not is_other_source_complete then 'not_yet_comparable'
            else matrix_comparability
        end as comparability,
        -- Amounts are compared only where both sides carry money.
        vima_class = payshack_class and vima_class in ('S', 'R', 'C') as is_money_compared,
        vima_currency is distinct from payshack_currency as is_currency_different,
        coalesce(payshack_minor - vima_minor, 0) as difference_minor
    from timed

),

decided as (

    select
        compared.*,
        case
            when comparability <> 'comparable' then null
            when matrix_outcome = 'matched' and is_money_compared and is_currency_different then 'discrepancy_amount'
            when matrix_outcome = 'matched' and is_money_compared and abs(difference_minor) > tolerance_minor
                then 'discrepancy_amount'
            else matrix_outcome
        end as outcome,
        is_money_compared and not is_currency_different and difference_minor <> 0 as is_amount_different
    from compared

),

reasoned as (

    select
        decided.*,
        -- In the order of the reasons seed: key, duplicates, presence, currency, status, amount, time.
        array_remove(
            array[
                case when order_key is null then 'no_key' end,
                case when is_key_collision then 'key_collision' end,
                case when is_counterpart_quarantined then 'counterpart_quarantined' end,
                case when is_duplicate_success then 'duplicate_success' end,
                case when is_duplicate_utr then 'duplicate_utr' end,
                case
                    when outcome in ('missing_vima', 'missing_payshack') and matrix_reason <> 'missing_side'
                        then 'missing_side'
                    when comparability in ('comparable', 'informational') and matrix_reason in ('missing_side', 'not_sent')
                        then matrix_reason
                end,
                case when is_money_compared and is_currency_different then 'currency_mismatch' end,
                case
                    when comparability in ('comparable', 'informational')
                        and matrix_reason not in ('missing_side', 'not_sent')
                        then matrix_reason
                end,
                case when is_self_inconsistent then 'source_self_inconsistent' end,
                case when is_status_regression then 'status_regression' end,
                case
                    when not is_amount_different then null
                    when abs(difference_minor) <= tolerance_minor then 'within_tolerance'
                    when abs(difference_minor) in (vima_fee_minor, payshack_fee_minor) then 'fee_netted'
                    when payshack_minor = vima_minor * 100 or vima_minor = payshack_minor * 100 then 'unit_error'
                    when difference_minor < 0 then 'underpaid'
                    else 'overpaid'
                end,
                case when is_requested_paid_different then 'requested_paid_differ' end,
                case when is_paid_amount_missing then 'paid_amount_missing' end,
                case when is_flow_assumed then 'flow_assumed' end,
                case
                    when
                        {{ business_date('vima_created_at') }} <> {{ business_date('payshack_created_at') }}
                        then 'cross_midnight'
                end
            ],
            null
        ) as reasons,
        case when vima_class = 'S' then vima_amount else 0 end as vima_effect,
        case when payshack_class = 'S' then payshack_amount else 0 end as payshack_effect
    from decided

)

select
    reasoned.reconciliation_id,
    reasoned.reconciliation_key,
    reasoned.flow,
    reasoned.project,
    reasoned.order_key,
    reasoned.outcome,
    reasoned.comparability,
    reasoned.reasons,
    case
        when reasoned.comparability <> 'comparable' then null
        when reasoned.is_duplicate_success or reasoned.is_duplicate_utr then 'critical'
        when reasoned.outcome = 'matched' then null
        when reasoned.outcome = 'discrepancy_amount' then 'high'
        else reasoned.matrix_severity
    end as severity,
    case
        when reasoned.comparability <> 'comparable' or reasoned.outcome = 'matched' then 0
        when reasoned.is_money_compared and reasoned.is_currency_different then reasoned.vima_effect
        when 'C' in (reasoned.vima_class, reasoned.payshack_class) or 'T' in (reasoned.vima_class, reasoned.payshack_class)
            or 'U' in (reasoned.vima_class, reasoned.payshack_class)
            then greatest(reasoned.vima_amount, reasoned.payshack_amount)
        else abs(reasoned.vima_effect - reasoned.payshack_effect)
    end as exposure,
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
    coalesce(reasoned.vima_effect, 0) as vima_effect,
    coalesce(reasoned.payshack_effect, 0) as payshack_effect,
    {{ business_date('reasoned.event_at') }} as business_date,
    reasoned.event_at,
    case
        when reasoned.comparability in ('in_flight', 'not_yet_comparable')
            then least(reasoned.grace_ends_at, reasoned.next_change_at)
        else reasoned.next_change_at
    end as review_at,
    case
        when reasoned.comparability = 'not_yet_comparable' or (reasoned.comparability = 'in_flight' and reasoned.awaited_source is not null)
            then reasoned.awaited_source
    end as awaited_source,
    case
        when reasoned.comparability = 'not_yet_comparable' or (reasoned.comparability = 'in_flight' and reasoned.awaited_source is not null)
            then reasoned.awaited_watermark
    end as awaited_watermark
from reasoned
left join class_words as vima_words
    on reasoned.vima_class = vima_words.status_class
left join class_words as payshack_words
    on reasoned.payshack_class = payshack_words.status_class
