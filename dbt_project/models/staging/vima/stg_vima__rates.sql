with

operations as (

    select * from {{ source('raw', 'vima_operations') }}

),

told as (

    select
        operations.record_id,
        operations.content_hash,
        operations.loaded_xid,
        operations.source_order,
        operations.source_updated_at as told_at,
        rates.key as pair,
        rates.value as rate_text
    from operations
    cross join
        lateral jsonb_each_text(
            case when jsonb_typeof(operations.payload -> 'rates') = 'object' then operations.payload -> 'rates' end
        ) as rates
    where operations.source_updated_at is not null

)

select
    record_id,
    content_hash,
    split_part(pair, '-', 1) as base_currency,
    split_part(pair, '-', 2) as quote_currency,
    {{ exact_numeric('rate_text') }} as rate,
    {{ business_date('told_at') }} as rate_date,
    told_at,
    source_order,
    loaded_xid
from told
where
    pair ~ '^[A-Z]{3}-[A-Z]{3}$'
    and {{ exact_numeric('rate_text') }} > 0
