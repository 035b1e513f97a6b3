with

lines as (

    select * from {{ source('raw', 'bank_lines') }}

),

accounts as (

    select * from {{ ref('bank_accounts') }}

)

select
    lines.line_key as bank_line_id,
    coalesce(accounts.bank_label, 'unknown') as bank_label,
    accounts.provider,
    accounts.project,
    coalesce(accounts.cycle_days, 0) as cycle_days,
    lines.currency,
    lines.reference,
    -- Twelve digits with an end on both sides: an RRN or UTR, wherever in the line the bank has put it.
    array(
        select distinct found.reference[1] as reference_number
        from regexp_matches(concat_ws(' ', lines.reference, lines.narration), '\m(\d{12})\M', 'g') as found (reference)
        order by reference_number
    ) as reference_numbers,
    trim_scale(lines.amount) as amount,
    lines.value_date,
    lines.booked_on,
    lines.observed_at,
    lines.loaded_xid
from lines
left join accounts
    on lines.account = accounts.account
