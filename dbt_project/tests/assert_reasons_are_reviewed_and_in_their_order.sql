-- If this fails, a row gives a reason that nobody has described, or its first reason is not the primary one.
with

given as (

    select
        reconciliation.reconciliation_id,
        reasons.reason,
        reviewed.position,
        lag(reviewed.position) over (
            partition by reconciliation.reconciliation_id
            order by reasons.place asc
        ) as previous_position
    from {{ ref('fct_reconciliation') }} as reconciliation
    cross join lateral unnest(reconciliation.reasons) with ordinality as reasons (reason, place)
    left join {{ ref('reconciliation_reasons') }} as reviewed
        on reasons.reason = reviewed.reason

)

select
    reconciliation_id,
    reason,
    position
from given
where position is null or position <= previous_position
