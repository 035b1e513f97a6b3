{{
    config(
        materialized='incremental',
        unique_key='transaction_id',
        on_schema_change='fail',
        group='transactions',
        pre_hook="{{ note_pending() }}",
        post_hook=["{{ note_processed() }}", "{{ index_transactions() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['created_at', 'transaction_id']},
            {'columns': ['order_key']},
            {'columns': ['source_txn_id']},
            {'columns': ['utr']},
            {'columns': ['changed_xid']},
        ],
    )
}}

with

transactions as (

    select * from {{ ref('int_transactions__current') }}
    {% if is_incremental() %}
    where changed_xid >= {{ processed_xid() }}
    {% endif %}

),

class_words as (

    select * from {{ ref('status_class_words') }}

),

client_projects as (

    select * from {{ ref('client_projects') }}

)

select
    transactions.transaction_id,
    transactions.source,
    transactions.flow,
    transactions.source_txn_id,
    transactions.order_key,
    transactions.project,
    transactions.merchant,
    transactions.currency,
    transactions.amount,
    transactions.requested_amount,
    transactions.fee,
    class_words.status,
    transactions.status_raw,
    transactions.payment_method,
    transactions.provider_reference,
    transactions.utr,
    transactions.rrn,
    transactions.country,
    transactions.created_at,
    transactions.updated_at,
    transactions.completed_at,
    transactions.business_date,
    transactions.first_seen_at,
    transactions.observed_at as last_seen_at,
    transactions.is_paid_amount_missing,
    transactions.is_flow_assumed,
    transactions.is_created_at_missing,
    transactions.is_status_regression,
    transactions.source = 'payshack' and client_projects.client_name is null as is_client_unmapped,
    {{ current_xid() }} as changed_xid
from transactions
inner join class_words
    on
        case when transactions.is_expired then 'X' else transactions.status_class end
        = class_words.status_class
left join client_projects
    on transactions.merchant = client_projects.client_name
