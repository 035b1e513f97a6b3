{{
    config(
        materialized='table',
        group='reconciliation',
        post_hook='analyze {{ this }}',
        indexes=[
            {'columns': ['vima_reconciliation_id']},
            {'columns': ['payshack_reconciliation_id']},
        ],
    )
}}

with

parameters as (

    select
        max(minutes) filter (where parameter = 'suggestion_window') * interval '1 minute' as attribute_window,
        max(minutes) filter (where parameter = 'pair_distance') * interval '1 minute' as key_window,
        max(minutes) filter (where parameter = 'suggestion_age') * interval '1 minute' as greatest_age
    from {{ ref('reconciliation_parameters') }}

),

-- What is missing on the other side, of days still worth a search: few rows, found by an index of their own.
missing as (

    select
        reconciliations.reconciliation_id,
        reconciliations.outcome,
        reconciliations.project,
        reconciliations.flow,
        reconciliations.currency,
        reconciliations.order_key,
        coalesce(reconciliations.vima_transaction_id, reconciliations.payshack_transaction_id) as transaction_id,
        coalesce(reconciliations.vima_amount, reconciliations.payshack_amount) as amount,
        reconciliations.event_at,
        reconciliations.business_date
    from {{ ref('fct_reconciliation') }} as reconciliations
    cross join parameters
    where
        reconciliations.outcome in ('missing_vima', 'missing_payshack')
        and reconciliations.business_date >= ({{ psp_now() }} - parameters.greatest_age)::date

),

vima as (

    select * from missing
    where outcome = 'missing_payshack'

),

payshack as (

    select * from missing
    where outcome = 'missing_vima'

),

-- A key without one of its characters: two keys are one edit apart when they agree without the same one, or when one is
-- the other without any.
variants as (

    select
        missing.reconciliation_id,
        missing.outcome,
        missing.project,
        missing.flow,
        places.place,
        case
            when places.place = 0 then missing.order_key
            else left(missing.order_key, places.place - 1) || substr(missing.order_key, places.place + 1)
        end as variant
    from missing
    cross join lateral generate_series(0, length(missing.order_key)) as places (place)

),

near_keys as (

    select distinct
        ours.reconciliation_id as vima_reconciliation_id,
        theirs.reconciliation_id as payshack_reconciliation_id
    from variants as ours
    inner join variants as theirs
        on
            ours.variant = theirs.variant
            and ours.project = theirs.project
            and ours.flow = theirs.flow
            and (ours.place = theirs.place or (ours.place = 0) <> (theirs.place = 0))
    where
        ours.outcome = 'missing_payshack'
        and theirs.outcome = 'missing_vima'
        and (ours.place, theirs.place) <> (0, 0)

),

found as (

    select
        vima.reconciliation_id as vima_reconciliation_id,
        payshack.reconciliation_id as payshack_reconciliation_id
    from vima
    cross join parameters
    inner join payshack
        on
            vima.project = payshack.project
            and vima.flow = payshack.flow
            and vima.currency = payshack.currency
            and vima.amount = payshack.amount
            and payshack.event_at between vima.event_at - parameters.attribute_window
            and vima.event_at + parameters.attribute_window
    union
    select
        near_keys.vima_reconciliation_id,
        near_keys.payshack_reconciliation_id
    from near_keys

),

compared as (

    select
        vima.reconciliation_id as vima_reconciliation_id,
        payshack.reconciliation_id as payshack_reconciliation_id,
        vima.project,
        vima.flow,
        vima.currency,
        vima.business_date,
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        vima.order_key as vima_order_key,
        payshack.order_key as payshack_order_key,
        vima.amount as vima_amount,
        payshack.amount as payshack_amount,
        abs(extract(epoch from vima.event_at - payshack.event_at)) as seconds_apart,
        near_keys.vima_reconciliation_id is not null as is_key_one_edit_apart,
        coalesce(vima.currency = payshack.currency and vima.amount = payshack.amount, false) as is_amount_equal,
        count(*) over (partition by vima.reconciliation_id) as vima_candidates,
        count(*) over (partition by payshack.reconciliation_id) as payshack_candidates
    from found
    cross join parameters
    inner join vima
        on found.vima_reconciliation_id = vima.reconciliation_id
    inner join payshack
        on found.payshack_reconciliation_id = payshack.reconciliation_id
    left join near_keys
        on
            found.vima_reconciliation_id = near_keys.vima_reconciliation_id
            and found.payshack_reconciliation_id = near_keys.payshack_reconciliation_id
    where
        payshack.event_at between vima.event_at - parameters.key_window and vima.event_at + parameters.key_window

),

scored as (

    select
        compared.*,
        case when compared.is_key_one_edit_apart then 50 else 0 end
        + case when compared.is_amount_equal then 30 else 0 end
        + case when compared.seconds_apart <= 120 then 20 when compared.seconds_apart <= 600 then 10 else 0 end
        - case when compared.vima_candidates > 1 or compared.payshack_candidates > 1 then 20 else 0 end
            as score
    from compared

)

select
    md5(vima_reconciliation_id || '|' || payshack_reconciliation_id) as suggestion_id,
    vima_reconciliation_id,
    payshack_reconciliation_id,
    business_date,
    project,
    flow,
    currency,
    vima_transaction_id,
    payshack_transaction_id,
    vima_order_key,
    payshack_order_key,
    vima_amount,
    payshack_amount,
    trim_scale(seconds_apart) as seconds_apart,
    is_key_one_edit_apart,
    is_amount_equal,
    vima_candidates,
    payshack_candidates,
    score,
    case when score >= 80 then 'high' when score >= 50 then 'medium' else 'low' end as band
from scored
