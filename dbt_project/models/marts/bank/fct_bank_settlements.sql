{{
    config(
        materialized='table',
        indexes=[{'columns': ['movement_id'], 'unique': true}, {'columns': ['settlement_day', 'outcome']}],
    )
}}

with

settlements as (

    select * from {{ ref('fct_bank_dues') }}

),

fits as (

    select
        movement_id,
        min(bank_line_id) as bank_line_id,
        bool_and(is_only_fit) as is_only_fit,
        min(match_pass) as match_pass
    from (
        select
            movement_id,
            bank_line_id,
            is_only_fit,
            'reference' as match_pass
        from {{ ref('fct_bank_reference_fits') }}
        union all
        select
            movement_id,
            bank_line_id,
            is_only_fit,
            'batch' as match_pass
        from {{ ref('fct_bank_batch_fits') }}
    ) as both_passes
    group by movement_id

)

select
    settlements.movement_id,
    settlements.transaction_id,
    settlements.project,
    settlements.currency,
    settlements.kind,
    settlements.settlement_day,
    settlements.due_on,
    trim_scale(settlements.amount) as amount,
    trim_scale(settlements.net_amount) as net_amount,
    case
        when fits.is_only_fit then 'matched'
        when fits.movement_id is not null then 'ambiguous'
        when settlements.is_due then 'missing_bank'
        else 'not_due'
    end as outcome,
    fits.match_pass,
    case when fits.is_only_fit then fits.bank_line_id end as bank_line_id
from settlements
left join fits
    on settlements.movement_id = fits.movement_id
