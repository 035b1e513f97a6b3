{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_records_changed_in(ref('int_transactions__current')) }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['changed_xid']},
        ],
    )
}}

-- depends_on: {{ ref('int_transactions__current') }}

with

parties as (

    select * from {{ ref('int_transactions__parties') }}

)

select
    transaction_id,
    source,
    flow,
    party,
    email,
    phone,
    full_name,
    vpa,
    account_number,
    customer_id,
    ip_address,
    {{ current_xid() }} as changed_xid
from parties
{% if is_incremental() %}
where changed_xid >= {{ processed_xid() }}
{% endif %}
