{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ note_pending() }}",
        post_hook=["{{ index_references() }}", "{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['bank_line_id'], 'unique': true},
            {'columns': ['project', 'value_date']},
            {'columns': ['changed_xid']},
        ],
    )
}}

with

-- The day that a line may settle can lie as far back as the slowest account of its project is.
reaches as (

    select
        project,
        max(cycle_days) as reach_days
    from {{ ref('bank_accounts') }}
    group by project

)

select
    banked.bank_line_id,
    banked.bank_label,
    banked.provider,
    banked.project,
    banked.cycle_days,
    banked.currency,
    banked.reference,
    banked.reference_numbers,
    banked.amount,
    banked.value_date,
    banked.booked_on,
    banked.observed_at,
    coalesce(reaches.reach_days, 0) as reach_days,
    {{ current_xid() }} as changed_xid
from {{ ref('stg_bank__lines') }} as banked
left join reaches
    on banked.project = reaches.project
{% if is_incremental() %}
where
    banked.loaded_xid >= {{ processed_xid() }}
    and not exists (
        select 1
        from {{ this }} as known
        where known.bank_line_id = banked.bank_line_id
    )
{% endif %}
