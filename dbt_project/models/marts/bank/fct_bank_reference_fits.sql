{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_days_of_lines_to_match() }}", "{{ drop_fits_of_lines_to_match() }}"],
        post_hook=["{{ note_days_of_lines_to_match() }}", "{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['movement_id']},
            {'columns': ['settlement_day']},
        ],
    )
}}

-- depends_on: {{ ref('int_bank__lines_to_match') }}

with

lines as (

    select banked.*
    from {{ ref('int_bank__lines') }} as banked
    {% if is_incremental() %}
    inner join {{ ref('int_bank__lines_to_match') }} as scope
        on banked.bank_line_id = scope.bank_line_id
    where banked.bank_line_id = any(array(select ids.bank_line_id from {{ ref('int_bank__lines_to_match') }} as ids))
    {% endif %}

),

{% if is_incremental() %}
-- As far as a reference reaches.
near_days as (

    select distinct
        lines.project,
        reached.reached_day::date as settlement_day
    from lines
    cross join lateral generate_series(
        lines.value_date - lines.reach_days - 8, lines.value_date + 2, interval '1 day'
    ) as reached (reached_day)

),

{% endif %}
settlements as (

    select dues.*
    from {{ ref('fct_bank_dues') }} as dues
    {% if is_incremental() %}
    inner join near_days
        on dues.project = near_days.project and dues.settlement_day = near_days.settlement_day
    where {{ of_days('dues', 'near_days') }}
    {% endif %}

),

-- Materialized, both: the planner takes references for lists of unknown content, and would first pair every line with
-- every payment of its project.
line_references as materialized (

    select
        lines.bank_line_id,
        lines.project,
        lines.currency,
        lines.amount,
        lines.value_date,
        numbers.reference_number
    from lines
    cross join lateral unnest(lines.reference_numbers) as numbers (reference_number)

),

settlement_references as materialized (

    select
        settlements.*,
        numbers.reference_number
    from settlements
    cross join lateral unnest(settlements.reference_numbers) as numbers (reference_number)

),

-- One reference, one direction, near each other: RRNs repeat over the years.
possible as (

    select
        banked.bank_line_id,
        settlements.movement_id,
        settlements.settlement_day,
        bool_or(banked.amount in (settlements.amount, settlements.net_amount)) as is_amount_equal
    from line_references as banked
    inner join settlement_references as settlements
        on
            banked.reference_number = settlements.reference_number
            and banked.project = settlements.project
            and banked.currency = settlements.currency
            and sign(banked.amount) = sign(settlements.amount)
            and banked.value_date
            between settlements.business_date - 1
            and settlements.business_date + settlements.cycle_days + 7
    group by banked.bank_line_id, settlements.movement_id, settlements.settlement_day

),

-- Where one reference leads to several, the equal amount decides; where that does not, nobody does.
narrowed as (

    select
        possible.*,
        bool_or(possible.is_amount_equal) over (partition by possible.bank_line_id) as has_equal_for_line,
        bool_or(possible.is_amount_equal) over (partition by possible.movement_id) as has_equal_for_movement
    from possible

),

kept as (

    select
        bank_line_id,
        movement_id,
        settlement_day,
        is_amount_equal
    from narrowed
    where is_amount_equal or not (has_equal_for_line or has_equal_for_movement)

)

select
    bank_line_id,
    movement_id,
    settlement_day,
    is_amount_equal,
    count(*) over (partition by bank_line_id) = 1 and count(*) over (partition by movement_id) = 1 as is_only_fit
from kept
