with

versions as (

    select * from {{ source('raw', 'payshack_service_providers') }}

),

newest as (

    select distinct on (record_id) *
    from versions
    order by record_id asc, observed_at desc

)

select
    record_id as service_provider_id,
    coalesce(payload ->> 'name', payload ->> 'companyName') as service_provider_name,
    payload ->> 'status' as status_raw,
    source_created_at as created_at,
    observed_at
from newest
