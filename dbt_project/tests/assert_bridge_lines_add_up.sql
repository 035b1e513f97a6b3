-- If this fails, a day's bridge does not lead from Vima's net to PayShack's: nobody could sign it.
select
    business_date,
    project,
    flow,
    currency
from {{ ref('rpt_bridge_daily') }}
group by business_date, project, flow, currency
having
    coalesce(sum(amount) filter (where cause = 'vima_net'), 0)
    - coalesce(sum(amount) filter (where cause not in ('vima_net', 'payshack_net')), 0)
    <> coalesce(sum(amount) filter (where cause = 'payshack_net'), 0)
    or count(*) filter (where cause in ('vima_net', 'residual', 'payshack_net')) <> 3
