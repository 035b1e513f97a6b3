{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='transactions',
        pre_hook=["{{ note_pending() }}", "{{ drop_records_changed_in(ref('pii_transaction_parties')) }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['phone_key']},
            {'columns': ['address_key']},
        ],
    )
}}

with

parties as (

    select * from {{ ref('pii_transaction_parties') }}
    {% if is_incremental() %}
    where changed_xid >= {{ processed_xid() }}
    {% endif %}

),

-- Part of the warehouse's foundation, like the models' own state: no source that somebody could ask for.
hash_key as (

    select
        inner_key,
        outer_key
    from marts_pii.hash_key

)

select
    parties.transaction_id,
    parties.source,
    parties.flow,
    parties.party,
    {{ keyed_hash(normal_address('parties.email'), 'hash_key') }} as mail_key,
    {{ keyed_hash(normal_phone('parties.phone'), 'hash_key') }} as phone_key,
    {{ keyed_hash(normal_address('parties.vpa'), 'hash_key') }} as address_key,
    {{ keyed_hash('parties.account_number', 'hash_key') }} as account_key,
    {{ keyed_hash('parties.customer_id', 'hash_key') }} as customer_key,
    {{ masked_address('parties.email') }} as masked_mail,
    {{ masked_number('parties.phone') }} as masked_phone,
    {{ masked_name('parties.full_name') }} as masked_name,
    {{ masked_address('parties.vpa') }} as masked_address,
    {{ masked_number('parties.account_number') }} as masked_account,
    -- What follows the @ of a VPA names the payer's app and bank, not the payer.
    lower(substring(parties.vpa from '@([^@]+)$')) as bank_handle
from parties
cross join hash_key
