with

versions as (

    select * from {{ source('raw', 'payshack_clients') }}

),

newest as (

    select distinct on (record_id) *
    from versions
    order by record_id asc, observed_at desc

)

select
    record_id as client_id,
    coalesce(payload ->> 'name', payload ->> 'companyName') as client_name,
    coalesce(
        {{ exact_numeric("payload ->> 'walletBalance'") }},
        {{ exact_numeric("payload ->> 'balance'") }}
    ) as balance,
    'INR' as currency,
    payload ->> 'status' as status_raw,
    source_created_at as created_at,
    observed_at
from newest
