{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=[
            "{{ note_pending() }}",
            "{{ note_days_of_shared_lines() }}",
            "{{ drop_touched_bank_days(['fct_bank_dues', 'fct_bank_reference_fits']) }}",
        ],
        post_hook=[
            "{{ note_days_of_shared_lines() }}",
            "{{ note_all_days_when_rebuilt() }}",
            "{{ note_processed() }}",
            "{{ analyze_when_rebuilt() }}",
        ],
        indexes=[{'columns': ['settlement_day', 'project']}, {'columns': ['bank_line_id']}],
    )
}}

{# More settlements than this are only tried as the whole of their day: every further one doubles the sets. #}
{% set most_tried = 14 %}

with recursive

{% if is_incremental() %}
touched as (

    {{ touched_bank_days(['fct_bank_dues', 'fct_bank_reference_fits']) }}

),

{% endif %}
settlements as (

    select
        dues.*,
        row_number() over (
            partition by dues.project, dues.currency, dues.settlement_day
            order by dues.net_amount desc, dues.movement_id asc
        ) as number_in_day
    from {{ ref('fct_bank_dues') }} as dues
    {% if is_incremental() %}
    inner join touched
        on dues.project = touched.project and dues.settlement_day = touched.settlement_day
    {% endif %}
    where
        not exists (
            select 1
            from {{ ref('fct_bank_reference_fits') }} as fits
            where fits.movement_id = dues.movement_id
            {% if is_incremental() %}
            {{ asked_one_by_one() }}
            {% endif %}
        )
        {% if is_incremental() %}
        and {{ of_days('dues') }}
        {% endif %}

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
        banked.bank_line_id,
        banked.amount,
        days.project,
        days.currency,
        days.settlement_day,
        days.settlement_count,
        days.net_amount,
        days.movement_ids
    from days
    cross join lateral (
        select
            near_lines.bank_line_id,
            near_lines.amount
        from {{ ref('int_bank__lines') }} as near_lines
        where
            near_lines.project = days.project
            and near_lines.currency = days.currency
            and near_lines.value_date between days.settlement_day and days.settlement_day + days.cycle_days + 1
            and near_lines.amount > 0
            and not exists (
                select 1
                from {{ ref('fct_bank_reference_fits') }} as fits
                where fits.bank_line_id = near_lines.bank_line_id
                {% if is_incremental() %}
                {{ asked_one_by_one() }}
                {% endif %}
            )
        {{ asked_one_by_one() }}
    ) as banked

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

)

select
    bank_line_id,
    project,
    settlement_day,
    movement_ids
from sets
where net_amount = wanted and cardinality(movement_ids) > 0
union
select
    bank_line_id,
    project,
    settlement_day,
    movement_ids
from candidates
where net_amount = amount
