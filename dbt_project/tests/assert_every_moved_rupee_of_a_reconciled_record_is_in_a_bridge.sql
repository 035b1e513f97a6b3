-- If this fails, money of a reconciled project moved on a side without entering any day's bridge, or entered two.
with

ledger as (

    select
        movements.source,
        movements.flow,
        sum(case movements.flow when 'payout' then -movements.amount else movements.amount end) as amount
    from {{ ref('fct_movements') }} as movements
    inner join {{ ref('project_routing') }} as routing
        on movements.project = routing.project and routing.is_reconciled and routing.provider = 'payshack'
    group by movements.source, movements.flow

),

bridges as (

    select
        flow,
        case cause when 'vima_net' then 'vima' else 'payshack' end as source,
        sum(amount) as amount
    from {{ ref('rpt_bridge_daily') }}
    where cause in ('vima_net', 'payshack_net')
    group by flow, cause

)

select
    coalesce(ledger.source, bridges.source) as source,
    coalesce(ledger.flow, bridges.flow) as flow,
    ledger.amount as amount_in_ledger,
    bridges.amount as amount_in_bridges
from ledger
full outer join bridges
    on ledger.source = bridges.source and ledger.flow = bridges.flow
where coalesce(ledger.amount, 0) <> coalesce(bridges.amount, 0)
