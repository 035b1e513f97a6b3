{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_bridge_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
    )
}}

with

{{ affected_reconciliations(touched_bridge_days()) }},

movements as (

    select * from {{ ref('fct_movements') }}

),

causes as (

    select * from {{ ref('bridge_causes') }}

),

-- Every record of a row, as leg or as attempt, with the currency under which the row counts it.
members as (

    select
        business_date,
        project,
        flow,
        'vima' as side,
        vima_transaction_id as transaction_id,
        coalesce(currency, 'unknown') as currency
    from affected
    where vima_transaction_id is not null
    union all
    select
        business_date,
        project,
        flow,
        'payshack' as side,
        payshack_transaction_id as transaction_id,
        coalesce(payshack_currency, currency, 'unknown') as currency
    from affected
    where payshack_transaction_id is not null
    {% for side in ['vima', 'payshack'] %}
    union all
    select
        affected.business_date,
        affected.project,
        affected.flow,
        '{{ side }}' as side,
        attempts.transaction_id,
        null as currency
    from affected
    cross join lateral unnest(affected.{{ side }}_attempt_ids) as attempts (transaction_id)
    {% endfor %}

),

-- The ledger's word: what moved in the flow's direction, whatever reconciliation says of it.
moved as (

    select
        members.business_date,
        members.project,
        members.flow,
        coalesce(members.currency, movements.currency, 'unknown') as currency,
        members.side,
        sum(case members.flow when 'payout' then -movements.amount else movements.amount end) as amount,
        count(distinct movements.transaction_id) as items
    from members
    inner join movements
        on members.transaction_id = movements.transaction_id
    group by
        members.business_date,
        members.project,
        members.flow,
        coalesce(members.currency, movements.currency, 'unknown'),
        members.side

),

-- Reconciliation's word: how far the two sides of a row are apart. Two currencies enter the bridge of each.
differences as (

    select
        reconciliation_id,
        business_date,
        project,
        flow,
        coalesce(currency, 'unknown') as currency,
        comparability,
        outcome,
        reasons,
        vima_effect
        - case when payshack_currency is null or payshack_currency = currency then payshack_effect else 0 end as amount
    from affected
    union all
    select
        reconciliation_id,
        business_date,
        project,
        flow,
        payshack_currency as currency,
        comparability,
        outcome,
        reasons,
        -payshack_effect as amount
    from affected
    where payshack_currency <> currency

),

named as (

    select distinct on (differences.reconciliation_id, differences.currency)
        differences.business_date,
        differences.project,
        differences.flow,
        differences.currency,
        causes.cause,
        causes.position,
        differences.amount
    from differences
    {{ join_decision('differences') }}
    inner join causes
        on
            (
                decided.state = causes.outcome
                and causes.comparability = 'decided'
                and differences.outcome <> 'matched'
            )
            or (
                differences.comparability = causes.comparability
                and (causes.outcome = 'any' or differences.outcome = causes.outcome)
                and (causes.reason = 'any' or causes.reason = any(differences.reasons))
            )
    where differences.amount <> 0
    order by differences.reconciliation_id asc, differences.currency asc, causes.precedence asc

),

explained as (

    select
        business_date,
        project,
        flow,
        currency,
        position,
        cause,
        sum(amount) as amount,
        count(*) as items
    from named
    group by business_date, project, flow, currency, position, cause

),

nets as (

    select
        business_date,
        project,
        flow,
        currency,
        coalesce(sum(amount) filter (where side = 'vima'), 0) as vima_net,
        coalesce(sum(items) filter (where side = 'vima'), 0) as vima_items,
        coalesce(sum(amount) filter (where side = 'payshack'), 0) as payshack_net,
        coalesce(sum(items) filter (where side = 'payshack'), 0) as payshack_items
    from moved
    group by business_date, project, flow, currency

),

days as (

    select distinct
        business_date,
        project,
        flow,
        currency
    from differences
    union
    select
        business_date,
        project,
        flow,
        currency
    from nets

),

explained_by_day as (

    select
        business_date,
        project,
        flow,
        currency,
        sum(amount) as amount
    from explained
    group by business_date, project, flow, currency

),

ends as (

    select
        days.business_date,
        days.project,
        days.flow,
        days.currency,
        coalesce(nets.vima_net, 0) as vima_net,
        coalesce(nets.vima_items, 0) as vima_items,
        coalesce(nets.payshack_net, 0) as payshack_net,
        coalesce(nets.payshack_items, 0) as payshack_items,
        coalesce(explained_by_day.amount, 0) as explained
    from days
    left join nets
        on
            days.business_date = nets.business_date
            and days.project = nets.project
            and days.flow = nets.flow
            and days.currency = nets.currency
    left join explained_by_day
        on
            days.business_date = explained_by_day.business_date
            and days.project = explained_by_day.project
            and days.flow = explained_by_day.flow
            and days.currency = explained_by_day.currency

)

{% set ends_of_a_bridge = [
    ('vima_net', 0, 'vima_items'), ('residual', 900, '0'), ('payshack_net', 999, 'payshack_items')
] %}

{% for line, position, items in ends_of_a_bridge %}
select
    business_date,
    project,
    flow,
    currency,
    {{ position }} as position,  -- noqa: RF04
    '{{ line }}' as cause,
    {% if line == 'residual' %}
    trim_scale(vima_net - payshack_net - explained) as amount,
    {% else %}
    trim_scale({{ line }}) as amount,
    {% endif %}
    {{ items }}::bigint as items
from ends
union all
{% endfor %}
select
    business_date,
    project,
    flow,
    currency,
    position,
    cause,
    trim_scale(amount) as amount,
    items::bigint as items
from explained
