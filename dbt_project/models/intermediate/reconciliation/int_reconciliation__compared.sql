{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

with

reconciliation_rows as (

    select * from {{ ref('int_reconciliation__rows') }}

),

-- Read twice: kept, it would be written out once more.
legs as not materialized (

    select * from {{ ref('int_reconciliation__legs') }}

),

pair_matrix as (

    select * from {{ ref('pair_matrix') }}

),

watermarks as (

    select * from {{ source('raw', 'source_watermarks') }}

),

tolerances as (

    select * from {{ ref('amount_tolerances') }}

),

pending_ttls as not materialized (

    select * from {{ ref('pending_ttls') }}

),

parameters as (

    select minutes * interval '1 minute' as clock_allowance
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'clock_allowance'

),

crowded as not materialized (

    select * from {{ ref('int_reconciliation__crowded') }}

),

joined as (

    select
        reconciliation_rows.*,
        coalesce(vima.effective_class, 'none') as vima_class,
        coalesce(payshack.effective_class, 'none') as payshack_class,
        case
            when vima.created_at is null and payshack.created_at is not null then payshack.business_date
            else coalesce(vima.business_date, payshack.business_date)
        end as business_date,
        vima.business_date <> payshack.business_date and vima.created_at is not null and payshack.created_at is not null
            as is_cross_midnight,
        coalesce(vima.created_at, payshack.created_at, vima.placed_at, payshack.placed_at) as event_at,
        coalesce(
            greatest(vima.created_at, payshack.created_at),
            greatest(vima.placed_at, payshack.placed_at)
        ) as placed_at,
        vima.updated_at as vima_updated_at,
        payshack.updated_at as payshack_updated_at,
        vima.currency as vima_currency,
        payshack.currency as payshack_currency,
        vima.amount as vima_amount,
        payshack.amount as payshack_amount,
        coalesce(vima.minor_unit_exponent, payshack.minor_unit_exponent) as minor_unit_exponent,
        vima.refunded_amount as vima_refunded_amount,
        payshack.refunded_amount as payshack_refunded_amount,
        vima.fee as vima_fee,
        payshack.fee as payshack_fee,
        case when payshack.effective_class = 'S' then payshack.expected_fee end as expected_fee,
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
        vima.utr as vima_utr,
        vima.rrn as vima_rrn,
        least(
            vima.next_change_at,
            payshack.next_change_at,
            vima_order.next_change_at,
            payshack_order.next_change_at
        ) as next_change_at
    from reconciliation_rows
    left join legs as vima
        on reconciliation_rows.vima_transaction_id = vima.transaction_id
    left join legs as payshack
        on reconciliation_rows.payshack_transaction_id = payshack.transaction_id
    left join crowded as vima_order
        on vima.match_space = vima_order.match_space
    left join crowded as payshack_order
        on payshack.match_space = payshack_order.match_space

),

looked_up as (

    select
        joined.*,
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
            when 'pair_updated'
                then
                    greatest(joined.vima_updated_at, joined.payshack_updated_at)
                    + make_interval(mins => pair_matrix.grace_minutes)
            when 'failure_updated'
                then
                    case
                        when joined.vima_class in ('F', 'X') then joined.vima_updated_at
                        else joined.payshack_updated_at
                    end + make_interval(mins => pair_matrix.grace_minutes)
            when 'refund_updated'
                then
                    case when joined.vima_class = 'R' then joined.vima_updated_at else joined.payshack_updated_at end
                    + make_interval(mins => pair_matrix.grace_minutes)
        end as grace_ends_at,
        case
            when pair_matrix.grace_basis <> 'single' then null
            when joined.vima_class = 'none' then 'vima'
            else 'payshack'
        end as other_source,
        joined.placed_at + parameters.clock_allowance as other_source_needed_until,
        coalesce(trim_scale(tolerances.tolerance_minor / {{ minor_units('joined.minor_unit_exponent') }}), 0) as tolerance,
        coalesce(trim_scale(tolerances.daily_cap_minor / {{ minor_units('joined.minor_unit_exponent') }}), 0) as daily_cap
    from joined
    cross join parameters
    left join pair_matrix
        on
            joined.flow = pair_matrix.flow
            and joined.vima_class = pair_matrix.vima_class
            and joined.payshack_class = pair_matrix.payshack_class
            and {{ in_force('pair_matrix', 'joined.business_date') }}
    left join pending_ttls as by_type
        on joined.flow = by_type.flow and joined.transaction_type = by_type.transaction_type
    left join pending_ttls as by_default
        on joined.flow = by_default.flow and by_default.transaction_type = 'default'
    left join tolerances
        on
            joined.project = tolerances.project
            and joined.vima_currency = tolerances.currency
            and {{ in_force('tolerances', 'joined.business_date') }}

),

timed as (

    select
        looked_up.*,
        coalesce(looked_up.grace_ends_at <= {{ psp_now() }}, true) as is_grace_over,
        looked_up.other_source is null
        or coalesce(watermarks.watermark >= looked_up.other_source_needed_until, false) as is_other_source_complete,
        -- Amounts are compared only where both sides carry money.
        looked_up.vima_class = looked_up.payshack_class and looked_up.vima_class in ('S', 'R', 'C')
            as is_money_compared
    from looked_up
    left join watermarks
        on looked_up.other_source = watermarks.source and looked_up.flow = watermarks.flow

),

compared as (

    select
        timed.*,
        case
            when not timed.is_grace_over then timed.comparability_before
            when not timed.is_other_source_complete then 'not_yet_comparable'
            else timed.matrix_comparability
        end as comparability,
        timed.is_money_compared and (timed.vima_currency is distinct from timed.payshack_currency)
            as is_currency_different,
        timed.payshack_amount - timed.vima_amount as difference
    from timed

)

select
    compared.reconciliation_id,
    compared.reconciliation_key,
    compared.flow,
    compared.project,
    compared.order_key,
    compared.vima_transaction_id,
    compared.payshack_transaction_id,
    compared.vima_attempt_ids,
    compared.payshack_attempt_ids,
    compared.is_duplicate_success,
    compared.is_key_collision,
    compared.is_counterpart_quarantined,
    compared.match_state,
    compared.is_requested_paid_different,
    compared.is_paid_amount_missing,
    compared.is_flow_assumed,
    compared.is_self_inconsistent,
    compared.is_status_regression,
    compared.vima_class,
    compared.payshack_class,
    compared.matrix_outcome,
    compared.matrix_reason,
    compared.matrix_severity,
    compared.comparability,
    compared.is_money_compared,
    compared.is_currency_different,
    compared.is_money_compared
    and not compared.is_currency_different
    and (compared.difference is distinct from 0) as is_amount_different,
    compared.difference,
    compared.tolerance,
    compared.daily_cap,
    compared.vima_currency,
    compared.payshack_currency,
    compared.vima_amount,
    compared.payshack_amount,
    compared.vima_refunded_amount,
    compared.payshack_refunded_amount,
    compared.vima_fee,
    compared.payshack_fee,
    compared.expected_fee,
    -- Apart from the payment's own comparison: a fee never makes a break of it (R4.5).
    compared.payshack_fee - compared.expected_fee as fee_variance,
    compared.utr,
    compared.rrn,
    compared.vima_utr,
    compared.vima_rrn,
    compared.event_at,
    compared.business_date,
    compared.is_cross_midnight,
    -- The row is judged again when its grace ends or a record of its order expires; its grace over, when the other
    -- source is complete past it.
    least(case when not compared.is_grace_over then compared.grace_ends_at end, compared.next_change_at) as review_at,
    case when compared.comparability = 'not_yet_comparable' and compared.is_grace_over then compared.other_source end
        as awaited_source,
    case
        when compared.comparability = 'not_yet_comparable' and compared.is_grace_over
            then compared.other_source_needed_until
    end as awaited_watermark
from compared
