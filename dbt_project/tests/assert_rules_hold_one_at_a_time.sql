-- If this fails, a day has two rules for one thing, or a cell of the pair matrix has a time without any.
with

rules as (

    select
        'status_classes' as seed,
        concat_ws('|', source, flow, status_word) as rule_name,
        valid_from,
        valid_to
    from {{ ref('status_classes') }}
    union all
    select
        'amount_tolerances' as seed,
        concat_ws('|', project, currency) as rule_name,
        valid_from,
        valid_to
    from {{ ref('amount_tolerances') }}
    union all
    select
        'rate_cards' as seed,
        concat_ws('|', provider, project, flow, currency) as rule_name,
        valid_from,
        valid_to
    from {{ ref('rate_cards') }}
    union all
    select
        'pair_matrix' as seed,
        concat_ws('|', flow, vima_class, payshack_class) as rule_name,
        valid_from,
        valid_to
    from {{ ref('pair_matrix') }}

),

periods as (

    select
        rules.*,
        lag(rules.valid_to) over rule_order as previous_to,
        row_number() over rule_order as period_number,
        lead(rules.seed) over rule_order is null as is_last
    from rules
    window rule_order as (partition by rules.seed, rules.rule_name order by rules.valid_from asc nulls first)

)

select
    seed,
    rule_name,
    valid_from,
    valid_to
from periods
where
    valid_from >= valid_to
    or (period_number > 1 and (valid_from is null or previous_to is null or previous_to > valid_from))
    or (
        seed = 'pair_matrix'
        and (
            (period_number = 1 and valid_from > date '2000-01-01')
            or (period_number > 1 and previous_to <> valid_from)
            or (is_last and valid_to < date '9999-12-31')
        )
    )
