with

operations as (

    select * from {{ source('raw', 'vima_operations') }}

),

currencies as (

    select * from {{ ref('currencies') }}

),

status_classes as (

    select * from {{ ref('status_classes') }}
    where source = 'vima'

),

extracted as (

    select
        operations.record_id,
        operations.content_hash,
        operations.order_key,
        operations.source_order,
        operations.source_created_at,
        operations.source_updated_at,
        operations.observed_at,
        operations.load_mode,
        operations.load_scope,
        operations.load_page,
        operations._dlt_load_id,
        operations.loaded_xid,
        case
            when operations.payload #>> '{create_params,method}' = 'payment.out' then 'payout'
            else 'payin'
        end as flow,
        coalesce(operations.payload #>> '{create_params,method}', '') not in ('payment.in', 'payment.out')
            as is_flow_assumed,
        {{ blank_to_null("operations.payload ->> 'project'") }} as project,
        {{ blank_to_null("operations.payload ->> 'credentials_owner'") }} as merchant,
        {{ blank_to_null("operations.payload ->> 'payment_status'") }} as payment_status,
        {{ blank_to_null("operations.payload ->> 'current_status'") }} as current_status,
        {{ blank_to_null("operations.payload ->> 'payment_method_code'") }} as payment_method,
        {{ blank_to_null("operations.payload ->> 'reference_id'") }} as provider_reference,
        -- Vima documents no bank reference; where a gate passes one on, it stands in one of these.
        coalesce(
            {{ blank_to_null("operations.payload #>> '{card_finish,0,utr}'") }},
            {{ blank_to_null("operations.payload #>> '{payment_custom_data,utr}'") }}
        ) as utr,
        coalesce(
            {{ blank_to_null("operations.payload #>> '{card_finish,0,rrn}'") }},
            {{ blank_to_null("operations.payload #>> '{payment_custom_data,rrn}'") }}
        ) as rrn,
        upper({{ blank_to_null("operations.payload #>> '{create_params,params,payment,client,country}'") }}) as country,
        upper(coalesce(
            {{ blank_to_null("operations.payload ->> 'complete_currency'") }},
            {{ blank_to_null("operations.payload #>> '{card_start,0,currency}'") }},
            {{ blank_to_null("operations.payload #>> '{create_params,params,payment,amount,currency}'") }}
        )) as currency,
        upper({{ blank_to_null("operations.payload #>> '{create_params,params,payment,amount,currency}'") }})
            as asked_currency,
        {{ exact_numeric("operations.payload ->> 'complete_amount'") }} as complete_amount,
        {{ exact_numeric("operations.payload #>> '{card_start,0,amount}'") }} as started_amount,
        {{ exact_numeric("operations.payload #>> '{create_params,params,payment,amount,value}'") }} as asked_minor,
        {{ exact_numeric("operations.payload #>> '{card_finish,0,charged_fee}'") }} as fee,
        coalesce(
            {{ exact_instant("operations.payload ->> 'complete_modified_at'") }},
            {{ exact_instant("operations.payload ->> 'complete_created_at'") }}
        ) as completed_at
    from operations

),

classified as (

    select
        extracted.*,
        currencies.minor_unit_exponent,
        coalesce(extracted.payment_status, extracted.current_status) as status_raw,
        case
            when
                by_payment.status_class in ('S', 'F')
                and by_current.status_class in ('S', 'F')
                and by_payment.status_class <> by_current.status_class
                then 'U'
            when extracted.payment_status is not null then coalesce(by_payment.status_class, 'U')
            else coalesce(by_current.status_class, 'U')
        end as status_class,
        coalesce(
            by_payment.status_class in ('S', 'F')
            and by_current.status_class in ('S', 'F')
            and by_payment.status_class <> by_current.status_class,
            false
        ) as is_self_inconsistent
    from extracted
    left join currencies
        on extracted.currency = currencies.currency
    left join status_classes as by_payment
        on
            extracted.flow = by_payment.flow
            and lower(extracted.payment_status) = by_payment.status_word
            and {{ in_force('by_payment', record_date('extracted')) }}
    left join status_classes as by_current
        on
            extracted.flow = by_current.flow
            and lower(extracted.current_status) = by_current.status_word
            and {{ in_force('by_current', record_date('extracted')) }}

)

select
    'vima:' || record_id as transaction_id,
    'vima' as source,
    flow,
    record_id as source_txn_id,
    order_key,
    content_hash,
    provider_reference,
    utr,
    rrn,
    project,
    merchant,
    currency,
    minor_unit_exponent,
    trim_scale(coalesce(complete_amount, started_amount, asked_minor / {{ minor_units('minor_unit_exponent') }}))
        as amount,
    case
        when coalesce(asked_currency, currency) = currency
            then trim_scale(asked_minor / {{ minor_units('minor_unit_exponent') }})
    end as requested_amount,
    complete_amount as paid_amount,
    -- Vima knows no refunds.
    null::numeric as refunded_amount,
    fee,
    false as is_paid_amount_missing,
    is_flow_assumed,
    is_self_inconsistent,
    status_raw,
    status_class,
    payment_method,
    null::text as transaction_type,
    country,
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
