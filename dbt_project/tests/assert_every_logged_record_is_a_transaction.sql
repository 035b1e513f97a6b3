-- If this fails, a record of the raw log is missing from the marts, or one is there that no source ever sent.
-- What a load committed after the models had looked is not missing: the next run of them reads it.
with

logged as (

    select
        'vima:' || record_id as transaction_id,
        loaded_xid
    from {{ source('raw', 'vima_operations') }}
    union all
    select
        'payshack:payin:' || record_id as transaction_id,
        loaded_xid
    from {{ source('raw', 'payshack_payins') }}
    union all
    select
        'payshack:payout:' || record_id as transaction_id,
        loaded_xid
    from {{ source('raw', 'payshack_payouts') }}

),

records as (

    select
        transaction_id,
        min(loaded_xid) as first_loaded_xid
    from logged
    group by transaction_id

)

select
    records.transaction_id as logged_id,
    transactions.transaction_id
from records
full outer join {{ ref('fct_transactions') }} as transactions
    on records.transaction_id = transactions.transaction_id
where
    records.transaction_id is null
    or (
        transactions.transaction_id is null
        and records.first_loaded_xid < {{ processed_xid('int_transactions__current') }}
    )
