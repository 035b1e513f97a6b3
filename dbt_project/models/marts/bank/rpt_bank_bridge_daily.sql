{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_bank_bridge_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

-- depends_on: {{ ref('int_bank__lines') }}, {{ ref('bank_accounts') }}

with

{% if is_incremental() %}
touched as (

    {{ touched_bank_bridge_days() }}

),

{% endif %}
lines as (

    select
        all_lines.*,
        coalesce(all_lines.settlement_day, all_lines.value_date) as bridge_day,
        {{ bank_item('bank_line', 'all_lines.bank_line_id') }} as reconciliation_id
    from {{ ref('fct_bank_lines') }} as all_lines
    {% if is_incremental() %}
    inner join touched
        on
            all_lines.project = touched.project
            and coalesce(all_lines.settlement_day, all_lines.value_date) = touched.settlement_day
    {% endif %}
    where
        all_lines.project is not null
        {% if is_incremental() %}
        and ({{ of_days('all_lines') }} or {{ of_days('all_lines', row_day='value_date') }})
        {% endif %}

),

settlements as (

    select
        all_settlements.*,
        {{ bank_item('movement', 'all_settlements.movement_id') }} as reconciliation_id
    from {{ ref('fct_bank_settlements') }} as all_settlements
    {% if is_incremental() %}
    inner join touched
        on
            all_settlements.project = touched.project
            and all_settlements.settlement_day = touched.settlement_day
    where {{ of_days('all_settlements') }}
    {% endif %}

),

-- What is missing, under what a person has decided of it.
missing as (

    select
        settlements.settlement_day,
        settlements.project,
        settlements.currency,
        coalesce(decided.state, settlements.outcome) as cause,
        settlements.amount
    from settlements
    {{ join_decision('settlements', 'fct_bank_breaks', "outcome = 'missing_bank'") }}
    where settlements.outcome = 'missing_bank'
    union all
    select
        lines.bridge_day as settlement_day,
        lines.project,
        lines.currency,
        coalesce(decided.state, lines.outcome) as cause,
        -lines.amount as amount
    from lines
    {{ join_decision('lines', 'fct_bank_breaks', "outcome = 'missing_provider'") }}
    where lines.outcome = 'missing_provider'

),

-- A line is of the settlement day that it settles; one that settles nothing known is of its value date.
entries as (

    select
        settlement_day,
        project,
        currency,
        0 as place,
        'payshack_net' as cause,
        amount
    from settlements
    union all
    select
        settlement_day,
        project,
        currency,
        case outcome when 'not_due' then 20 else 22 end as place,
        case outcome when 'ambiguous' then 'ambiguous_settlement' else outcome end as cause,
        amount
    from settlements
    where outcome not in ('matched', 'missing_bank')
    union all
    select
        settlement_day,
        project,
        currency,
        case cause
            when 'missing_bank' then 21
            when 'missing_provider' then 30
            -- As in the seed bridge_causes.
            when 'explained' then 80
            when 'written_off' then 82
            else 83
        end as place,
        cause,
        amount
    from missing
    union all
    select
        settlement_day,
        project,
        currency,
        10 as place,
        'fee_netted' as cause,
        fee_netted as amount
    from lines
    where outcome = 'matched'
    union all
    select
        settlement_day,
        project,
        currency,
        11 as place,
        'amount_difference' as cause,
        -amount_difference as amount
    from lines
    where outcome = 'matched'
    union all
    select
        bridge_day as settlement_day,
        project,
        currency,
        case outcome when 'ambiguous' then 31 else 32 end as place,
        case outcome when 'ambiguous' then 'ambiguous_line' else outcome end as cause,
        -amount as amount
    from lines
    where outcome not in ('matched', 'missing_provider')
    union all
    select
        bridge_day as settlement_day,
        project,
        currency,
        999 as place,
        'bank_net' as cause,
        amount
    from lines

),

summed as (

    select
        settlement_day,
        project,
        currency,
        place,
        cause,
        sum(amount) as amount,
        count(*) filter (where amount <> 0) as items
    from entries
    group by settlement_day, project, currency, place, cause
    having sum(amount) <> 0 or cause in ('payshack_net', 'bank_net')

),

days as (

    select
        settlement_day,
        project,
        currency,
        coalesce(sum(amount) filter (where cause = 'payshack_net'), 0) as payshack_net,
        coalesce(sum(amount) filter (where cause = 'bank_net'), 0) as bank_net,
        coalesce(sum(amount) filter (where cause not in ('payshack_net', 'bank_net')), 0) as explained
    from summed
    group by settlement_day, project, currency

)

select
    settlement_day,
    project,
    currency,
    place as position,  -- noqa: RF04
    cause,
    trim_scale(amount) as amount,
    items
from summed
union all
select
    settlement_day,
    project,
    currency,
    900 as position,  -- noqa: RF04
    'residual' as cause,
    trim_scale(payshack_net - bank_net - explained) as amount,
    0 as items
from days
