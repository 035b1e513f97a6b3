{{
    config(
        materialized='table',
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['bank_line_id', 'fit_number', 'movement_id'], 'unique': true}],
    )
}}

{# More settlements than this are only tried as the whole of their day: every further one doubles the sets. #}
{% set most_tried = 14 %}

with recursive

lines as (

    select banked.*
    from {{ ref('stg_bank__lines') }} as banked
    where
        banked.amount > 0
        and banked.project is not null
        and not exists (
            select 1
            from {{ ref('fct_bank_reference_fits') }} as fits
            where fits.bank_line_id = banked.bank_line_id
        )

),

settlements as (

    select
        settlements.*,
        row_number() over (
            partition by settlements.project, settlements.currency, settlements.settlement_day
            order by settlements.net_amount desc, settlements.movement_id asc
        ) as number_in_day
    from {{ ref('fct_bank_dues') }} as settlements
    where
        not exists (
            select 1
            from {{ ref('fct_bank_reference_fits') }} as fits
            where fits.movement_id = settlements.movement_id
        )

),

-- What goes back is part of the day: it is netted from the day's credit.
days as (

    select
        project,
        currency,
        settlement_day,
        max(cycle_days) as cycle_days,
        count(*) as settlement_count,
        sum(net_amount) as net_amount,
        array_agg(movement_id order by number_in_day asc) as movement_ids
    from settlements
    group by project, currency, settlement_day

),

candidates as (

    select
        lines.bank_line_id,
        lines.amount,
        days.project,
        days.currency,
        days.settlement_day,
        days.settlement_count,
        days.net_amount,
        days.movement_ids
    from lines
    inner join days
        on
            lines.project = days.project
            and lines.currency = days.currency
            and lines.value_date between days.settlement_day and days.settlement_day + days.cycle_days + 1

),

sets as (

    select
        candidates.bank_line_id,
        candidates.amount as wanted,
        candidates.project,
        candidates.currency,
        candidates.settlement_day,
        0::bigint as last_number,
        0::numeric as net_amount,
        array[]::text[] as movement_ids
    from candidates
    where candidates.settlement_count <= {{ most_tried }}

    union all

    select
        sets.bank_line_id,
        sets.wanted,
        sets.project,
        sets.currency,
        sets.settlement_day,
        settlements.number_in_day as last_number,
        sets.net_amount + settlements.net_amount as net_amount,
        sets.movement_ids || settlements.movement_id as movement_ids
    from sets
    inner join settlements
        on
            sets.project = settlements.project
            and sets.currency = settlements.currency
            and sets.settlement_day = settlements.settlement_day
            and sets.last_number < settlements.number_in_day

),

fitting as (

    select
        bank_line_id,
        settlement_day,
        movement_ids
    from sets
    where net_amount = wanted and cardinality(movement_ids) > 0
    union
    select
        bank_line_id,
        settlement_day,
        movement_ids
    from candidates
    where net_amount = amount

),

numbered as (

    select
        fitting.*,
        count(*) over (partition by fitting.bank_line_id) as fit_count,
        row_number() over (
            partition by fitting.bank_line_id
            order by fitting.settlement_day asc, fitting.movement_ids asc
        ) as fit_number
    from fitting

),

members as (

    select
        numbered.bank_line_id,
        numbered.settlement_day,
        numbered.fit_number,
        numbered.fit_count,
        ids.movement_id
    from numbered
    cross join lateral unnest(numbered.movement_ids) as ids (movement_id)

),

-- A settlement that two lines would take belongs to neither before somebody has looked.
claimed as (

    select
        movement_id,
        count(distinct bank_line_id) as line_count
    from members
    group by movement_id

)

select
    members.bank_line_id,
    members.movement_id,
    members.settlement_day,
    members.fit_number,
    bool_and(members.fit_count = 1 and claimed.line_count = 1) over (partition by members.bank_line_id) as is_only_fit
from members
inner join claimed
    on members.movement_id = claimed.movement_id
