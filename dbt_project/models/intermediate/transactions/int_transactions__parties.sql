{{ config(materialized='view') }}

with

{# One read of the records for each source: a name that is used more than once would be read as a whole first. #}
vima_transactions as (

    select * from {{ ref('int_transactions__current') }}
    where source = 'vima'

),

payin_transactions as (

    select * from {{ ref('int_transactions__current') }}
    where source = 'payshack' and flow = 'payin'

),

payout_transactions as (

    select * from {{ ref('int_transactions__current') }}
    where source = 'payshack' and flow = 'payout'

),

operations as (

    select * from {{ source('raw', 'vima_operations') }}

),

payins as (

    select * from {{ source('raw', 'payshack_payins') }}

),

payouts as (

    select * from {{ source('raw', 'payshack_payouts') }}

),

-- Each branch finds the version that counts by the log's own primary key.
of_vima as (

    select
        vima_transactions.transaction_id,
        vima_transactions.changed_xid,
        vima_transactions.source,
        vima_transactions.flow,
        case vima_transactions.flow when 'payout' then 'beneficiary' else 'payer' end as party,
        operations.payload #> '{create_params,params,payment,payer}' as details,
        operations.payload
    from vima_transactions
    inner join operations
        on
            vima_transactions.source_txn_id = operations.record_id
            and vima_transactions.content_hash = operations.content_hash

)

select
    transaction_id,
    changed_xid,
    source,
    flow,
    party,
    coalesce({{ blank_to_null("details ->> 'email'") }}, {{ blank_to_null("payload ->> 'contact'") }}) as email,
    {{ blank_to_null("details ->> 'phone'") }} as phone,
    {{ blank_to_null("concat_ws(' ', details #>> '{person,first_name}', details #>> '{person,last_name}')") }}
        as full_name,
    null::text as vpa,
    null::text as account_number,
    coalesce({{ blank_to_null("details #>> '{customer_account,id}'") }}, {{ blank_to_null("payload ->> 'user_id'") }})
        as customer_id,
    {{ blank_to_null("payload ->> 'ip_addr'") }} as ip_address
from of_vima
union all
select
    payin_transactions.transaction_id,
    payin_transactions.changed_xid,
    payin_transactions.source,
    payin_transactions.flow,
    'payer' as party,
    null as email,
    {{ blank_to_null("payins.payload ->> 'payerPhone'") }} as phone,
    {{ blank_to_null("payins.payload ->> 'payerName'") }} as full_name,
    {{ blank_to_null("payins.payload ->> 'payerVpa'") }} as vpa,
    null as account_number,
    null as customer_id,
    {{ blank_to_null("payins.payload ->> 'ipAddress'") }} as ip_address
from payin_transactions
inner join payins
    on
        payin_transactions.source_txn_id = payins.record_id
        and payin_transactions.content_hash = payins.content_hash
union all
select
    payout_transactions.transaction_id,
    payout_transactions.changed_xid,
    payout_transactions.source,
    payout_transactions.flow,
    'beneficiary' as party,
    {{ blank_to_null("payouts.payload ->> 'beneEmail'") }} as email,
    {{ blank_to_null("payouts.payload ->> 'benePhone'") }} as phone,
    {{ blank_to_null("payouts.payload ->> 'beneName'") }} as full_name,
    null as vpa,
    {{ blank_to_null("payouts.payload ->> 'beneAccount'") }} as account_number,
    null as customer_id,
    null as ip_address
from payout_transactions
inner join payouts
    on
        payout_transactions.source_txn_id = payouts.record_id
        and payout_transactions.content_hash = payouts.content_hash
