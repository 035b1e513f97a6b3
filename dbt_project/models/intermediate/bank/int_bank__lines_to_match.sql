{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_pending('fct_bank_reference_fits') }}",
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['bank_line_id'], 'unique': true}],
    )
}}

-- depends_on: {{ ref('fct_bank_dues') }}, {{ ref('bank_accounts') }}
{% set changes_only = reads_changes_only('marts', 'fct_bank_reference_fits') %}

with recursive

lines as not materialized (

    select * from {{ ref('int_bank__lines') }}
    where project is not null

),

{% if changes_only %}
dues as not materialized (

    select * from {{ ref('fct_bank_dues') }}

),

touched as (

    {{ touched_bank_days(['fct_bank_dues'], 'fct_bank_reference_fits') }}

),

-- Materialized, both, as in fct_bank_reference_fits.
due_references as materialized (

    select
        dues.project,
        numbers.reference_number
    from touched
    inner join dues
        on touched.project = dues.project and touched.settlement_day = dues.settlement_day
    cross join lateral unnest(dues.reference_numbers) as numbers (reference_number)
    where {{ of_days('dues') }}

),

near_days as materialized (

    {{ days_of_near_lines('touched') }}

),

line_references as materialized (

    select
        lines.bank_line_id,
        lines.project,
        numbers.reference_number
    from near_days
    inner join lines
        on near_days.project = lines.project and near_days.value_date = lines.value_date
    cross join lateral unnest(lines.reference_numbers) as numbers (reference_number)
    where {{ of_days('lines', 'near_days', 'value_date', 'value_date') }}

),

-- New lines, lines that share a reference with what is on a touched day, and lines that did until now.
beginnings as (

    select bank_line_id from lines
    where changed_xid >= {{ processed_xid('fct_bank_reference_fits') }}
    union
    select line_references.bank_line_id
    from line_references
    inner join due_references
        on
            line_references.project = due_references.project
            and line_references.reference_number = due_references.reference_number
    union
    select fits.bank_line_id
    from touched
    -- By name and not by ref: fct_bank_reference_fits is built from this.
    inner join marts.fct_bank_reference_fits as fits
        on touched.settlement_day = fits.settlement_day

),

-- Which of several a reference leads to depends on all that references tie together.
tied as (

    select bank_line_id from beginnings
    union
    select other_lines.bank_line_id
    from tied
    inner join lateral (
        select
            found.project,
            found.reference_numbers
        from lines as found
        where found.bank_line_id = tied.bank_line_id
        {{ asked_one_by_one() }}
    ) as tied_lines on true
    inner join lateral (
        select found.reference_numbers
        from dues as found
        where found.project = tied_lines.project and found.reference_numbers && tied_lines.reference_numbers
        {{ asked_one_by_one() }}
    ) as tied_dues on true
    inner join lateral (
        select found.bank_line_id
        from lines as found
        where found.project = tied_lines.project and found.reference_numbers && tied_dues.reference_numbers
        {{ asked_one_by_one() }}
    ) as other_lines on true

)
{% else %}
-- A table that is built from nothing matches all lines by itself.
tied as (

    select bank_line_id from lines
    where false

)
{% endif %}

select
    lines.bank_line_id,
    lines.project,
    lines.value_date,
    lines.reach_days
from lines
where lines.bank_line_id = any(array(select tied.bank_line_id from tied))
