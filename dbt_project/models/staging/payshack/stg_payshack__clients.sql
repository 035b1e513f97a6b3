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

),

newest as (

    select
        clients.client_id,
        (
            select max(snapshots.observed_at)
            from snapshots
            where snapshots.client_id = clients.client_id
        ) as observed_at
    from clients
    where clients.client_id is not null

)

select
    newest.client_id,
    {{ client_name('versions.payload') }} as client_name,
    trim_scale(snapshots.balance) as balance,
    'INR' as currency,
    versions.payload ->> 'status' as status_raw,
    versions.source_created_at as created_at,
    newest.observed_at
from newest
inner join snapshots
    on
        newest.client_id = snapshots.client_id
        and newest.observed_at = snapshots.observed_at
left join versions
    on
        snapshots.client_id = versions.record_id
        and snapshots.content_hash = versions.content_hash
