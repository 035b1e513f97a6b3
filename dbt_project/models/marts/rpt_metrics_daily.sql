{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        group='reporting',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_transaction_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {
                'columns': ['business_date', 'source', 'project', 'flow', 'payment_method', 'currency'],
                'unique': true,
            },
            {'columns': ['business_date', 'source']},
        ],
    )
}}

with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

{% if is_incremental() %}
touched as (

    {{ touched_transaction_days() }}

),

{% endif %}
affected as (

    select
        transactions.business_date,
        transactions.source,
        coalesce(transactions.project, 'unknown') as project,
        transactions.flow,
        coalesce(transactions.payment_method, 'unknown') as payment_method,
        coalesce(transactions.currency, 'unknown') as currency,
        transactions.status,
        transactions.amount,
        transactions.fee,
        extract(epoch from transactions.completed_at - transactions.created_at) as seconds_to_final
    from transactions
    {% if is_incremental() %}
    inner join touched
        on transactions.business_date = touched.business_date and transactions.source = touched.source
    {% endif %}

),

summed as (

    select
        business_date,
        source,
        project,
        flow,
        payment_method,
        currency,
        {{- transaction_measures() }}
    from affected
    group by business_date, source, project, flow, payment_method, currency

)

select
    *,
    {{- success_rates() }}
from summed
