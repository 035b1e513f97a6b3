with

versions as (

    select * from {{ source('raw', 'payshack_resellers') }}

),

newest as (

    select distinct on (record_id) *
    from versions
    order by record_id asc, observed_at desc

)

select
    record_id as reseller_id,
    coalesce(payload ->> 'name', payload ->> 'companyName') as reseller_name,
    payload ->> 'status' as status_raw,
    source_created_at as created_at,
    observed_at
from newest
