with recursive

snapshots as (

    select * from {{ source('raw', 'payshack_balance_snapshots') }}

),

versions as (

    select * from {{ source('raw', 'payshack_clients') }}

),

-- From client to client through the index: each has as many readings as the platform has made.
clients as (

    select min(client_id) as client_id
    from snapshots
    union all
    select
        (
            select min(snapshots.client_id)
            from snapshots
            where snapshots.client_id > clients.client_id
        ) as client_id
    from clients
    where clients.client_id is not null

)

select
    clients.client_id,
    {{ client_name('versions.payload') }} as client_name,
    newest.balance,
    'INR' as currency,
    versions.payload ->> 'status' as status_raw,
    versions.source_created_at as created_at,
    newest.observed_at
from clients
cross join lateral (
    select
        snapshots.content_hash,
        trim_scale(snapshots.balance) as balance,
        snapshots.observed_at
    from snapshots
    where snapshots.client_id = clients.client_id
    order by snapshots.observed_at desc
    limit 1
) as newest
left join versions
    on
        clients.client_id = versions.record_id
        and newest.content_hash = versions.content_hash
