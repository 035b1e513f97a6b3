{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_bank_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[{'columns': ['settlement_day', 'outcome']}],
    )
}}

with

{% if is_incremental() %}
touched as (

    {{ touched_bank_days() }}

),

{% endif %}
settlements as (

    select dues.*
    from {{ ref('fct_bank_dues') }} as dues
    {% if is_incremental() %}
    inner join touched
        on dues.project = touched.project and dues.settlement_day = touched.settlement_day
    where {{ of_days('dues') }}
    {% endif %}

),

both_passes as not materialized (

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

),

fits as (

    select
        both_passes.movement_id,
        min(both_passes.bank_line_id) as bank_line_id,
        bool_and(both_passes.is_only_fit) as is_only_fit,
        min(both_passes.match_pass) as match_pass
    from settlements
    inner join both_passes
        on settlements.movement_id = both_passes.movement_id
    group by both_passes.movement_id

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
