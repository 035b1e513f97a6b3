-- If this fails, a combination of classes has no rule: its rows would be neither matched nor a break.
with

sides as (

    select
        'payin' as flow,
        status_class
    from {{ ref('status_class_words') }}
    union all
    select
        'payout' as flow,
        status_class
    from {{ ref('status_class_words') }}
    -- Pay-outs wait for nobody, so nothing of them expires.
    where status_class not in ('W', 'X')
    union all
    select
        flow,
        'none' as status_class
    from (values ('payin'), ('payout')) as flows (flow)

)

select
    vima.flow,
    vima.status_class as vima_class,
    payshack.status_class as payshack_class
from sides as vima
inner join sides as payshack
    on vima.flow = payshack.flow
full outer join {{ ref('pair_matrix') }} as pair_matrix
    on
        vima.flow = pair_matrix.flow
        and vima.status_class = pair_matrix.vima_class
        and payshack.status_class = pair_matrix.payshack_class
where
    (vima.status_class = 'none' and payshack.status_class = 'none') is not true
    and (pair_matrix.flow is null or vima.flow is null)
