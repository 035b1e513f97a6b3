-- If this fails, a record of the raw log is missing from the marts, or one is there that no source ever sent.
with

logged as (

    select 'vima:' || record_id as transaction_id
    from {{ source('raw', 'vima_operations') }}
    union
    select 'payshack:payin:' || record_id as transaction_id
    from {{ source('raw', 'payshack_payins') }}
    union
    select 'payshack:payout:' || record_id as transaction_id
    from {{ source('raw', 'payshack_payouts') }}

)

select
    logged.transaction_id as logged_id,
    transactions.transaction_id
from logged
full outer join {{ ref('fct_transactions') }} as transactions
    on logged.transaction_id = transactions.transaction_id
where logged.transaction_id is null or transactions.transaction_id is null
