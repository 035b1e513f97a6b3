-- If this fails, a payment is judged twice or not at all: counts, value at risk and the bridge are wrong.
with

routed as (

    select project
    from {{ ref('project_routing') }}
    where is_reconciled and provider = 'payshack'

),

records as (

    select transactions.transaction_id
    from {{ ref('fct_transactions') }} as transactions
    inner join routed
        on transactions.project = routed.project

),

places as (

    select vima_transaction_id as transaction_id
    from {{ ref('fct_reconciliation') }}
    where vima_transaction_id is not null
    union all
    select payshack_transaction_id as transaction_id
    from {{ ref('fct_reconciliation') }}
    where payshack_transaction_id is not null
    union all
    select unnest(vima_attempt_ids) as transaction_id
    from {{ ref('fct_reconciliation') }}
    union all
    select unnest(payshack_attempt_ids) as transaction_id
    from {{ ref('fct_reconciliation') }}

),

counted as (

    select
        transaction_id,
        count(*) as place_count
    from places
    group by transaction_id

)

select
    coalesce(records.transaction_id, counted.transaction_id) as transaction_id,
    records.transaction_id is not null as is_reconciled_record,
    coalesce(counted.place_count, 0) as place_count
from records
full outer join counted
    on records.transaction_id = counted.transaction_id
where records.transaction_id is null or counted.place_count is distinct from 1
