-- If this fails, money is missing between PayShack and the bank and nobody is asked to look at it.
with

missing as (

    select {{ bank_item('movement', 'movement_id') }} as reconciliation_id
    from {{ ref('fct_bank_settlements') }}
    where outcome = 'missing_bank'
    union all
    select {{ bank_item('bank_line', 'bank_line_id') }} as reconciliation_id
    from {{ ref('fct_bank_lines') }}
    where outcome = 'missing_provider' and project is not null

)

select missing.reconciliation_id
from missing
left join {{ ref('fct_bank_breaks') }} as breaks
    on missing.reconciliation_id = breaks.reconciliation_id and breaks.state <> 'auto_resolved'
where breaks.break_id is null
