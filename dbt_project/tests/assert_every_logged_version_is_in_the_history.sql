-- If this fails, the history of a payment has a hole, or shows a version that no source ever sent.
-- What a load committed after the models had looked is not missing: the next run of them reads it.
with

logged as (

    select
        'vima:' || record_id || ':' || content_hash as version_id,
        loaded_xid
    from {{ source('raw', 'vima_operations') }}
    union all
    select
        'payshack:payin:' || record_id || ':' || content_hash as version_id,
        loaded_xid
    from {{ source('raw', 'payshack_payins') }}
    union all
    select
        'payshack:payout:' || record_id || ':' || content_hash as version_id,
        loaded_xid
    from {{ source('raw', 'payshack_payouts') }}

)

select
    logged.version_id as logged_id,
    versions.version_id
from logged
full outer join {{ ref('fct_transaction_versions') }} as versions
    on logged.version_id = versions.version_id
where
    logged.version_id is null
    or (versions.version_id is null and logged.loaded_xid < {{ processed_xid('fct_transaction_versions') }})
