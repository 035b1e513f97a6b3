with

transactions as (

    select * from {{ source('raw', 'payshack_payins') }}

),

currencies as (

    select * from {{ ref('currencies') }}

),

client_projects as (

    select * from {{ ref('client_projects') }}

),

status_classes as (

    select * from {{ ref('status_classes') }}
    where source = 'payshack' and flow = 'payin'

),

extracted as (

    select
        transactions.record_id,
        transactions.content_hash,
        transactions.order_key,
        transactions.source_order,
        transactions.source_created_at,
        transactions.source_updated_at,
        transactions.observed_at,
        transactions.load_mode,
        transactions.load_scope,
        transactions.load_page,
        transactions._dlt_load_id,
        transactions.loaded_xid,
        {{ blank_to_null("transactions.payload ->> 'clientName'") }} as client_name,
        {{ blank_to_null("transactions.payload ->> 'utr'") }} as utr,
        {{ blank_to_null("transactions.payload ->> 'rrn'") }} as rrn,
        {{ blank_to_null("transactions.payload ->> 'spTxnId'") }} as provider_reference,
        {{ blank_to_null("transactions.payload ->> 'txnStatus'") }} as status_raw,
        upper({{ blank_to_null("transactions.payload ->> 'transactionType'") }}) as transaction_type,
        coalesce(upper({{ blank_to_null("transactions.payload ->> 'currency'") }}), 'INR') as currency,
        {{ exact_numeric("transactions.payload ->> 'amount'") }} as asked_amount,
        {{ exact_numeric("transactions.payload ->> 'paidAmount'") }} as paid_amount,
        {{ exact_numeric("transactions.payload ->> 'totalCommissionAmount'") }} as fee,
        {{ exact_numeric("transactions.payload ->> 'refundAmount'") }} as refunded_amount,
        {{ exact_instant("transactions.payload ->> 'completedAt'") }} as completed_at
    from transactions

),

classified as (

    select
        extracted.*,
        currencies.minor_unit_exponent,
        -- A success of which a part went back is a refund, whatever the word.
        case
            when status_classes.status_class = 'S' and extracted.refunded_amount > 0 then 'R'
            else coalesce(status_classes.status_class, 'U')
        end as status_class,
        coalesce(client_projects.project, extracted.client_name) as project
    from extracted
    left join currencies
        on extracted.currency = currencies.currency
    left join status_classes
        on
            lower(extracted.status_raw) = status_classes.status_word
            and {{ in_force('status_classes', record_date('extracted')) }}
    left join client_projects
        on extracted.client_name = client_projects.client_name

)

select
    'payshack:payin:' || record_id as transaction_id,
    'payshack' as source,
    'payin' as flow,
    record_id as source_txn_id,
    order_key,
    content_hash,
    provider_reference,
    utr,
    rrn,
    project,
    client_name as merchant,
    currency,
    minor_unit_exponent,
    -- On an unpaid row an absent paid amount means that nothing was paid; the asked amount is what the row is about.
    case when status_class in ('S', 'R', 'C') then coalesce(paid_amount, asked_amount) else asked_amount end as amount,
    asked_amount as requested_amount,
    paid_amount,
    refunded_amount,
    fee,
    status_class in ('S', 'R', 'C') and paid_amount is null as is_paid_amount_missing,
    false as is_flow_assumed,
    false as is_self_inconsistent,
    status_raw,
    status_class,
    transaction_type as payment_method,
    transaction_type,
    'IN' as country,
    source_created_at as created_at,
    coalesce(source_updated_at, source_created_at) as updated_at,
    completed_at,
    source_order,
    observed_at,
    load_mode,
    load_scope,
    load_page,
    _dlt_load_id,
    loaded_xid
from classified
