{#
    Breaks of a family as their events leave them, with what age, promise and regulator make of them: the one shape of a break,
    whatever it is about. `said` names what else is shown of what was said of the item.
#}
{% macro breaks_as_they_stand(family, said=[]) %}
with

states as (

    select * from {{ source('breaks', 'state') }}
    where {{ family }}

),

clock as (

    select evaluated_at from {{ source('breaks', 'clock') }}

),

reasons as (

    select * from {{ ref('break_reasons') }}

),

slas as (

    select * from {{ ref('break_slas') }}

),

clocks as (

    select * from {{ ref('break_clocks') }}

),

timed as (

    select
        states.*,
        states.state in ('open', 'acknowledged', 'pending_provider', 'reopened') as is_open,
        clock.evaluated_at,
        -- A closed break has stopped ageing.
        coalesce(states.closed_at, clock.evaluated_at) as counted_to,
        {{ business_date('states.event_at') }} as event_date
    from states
    cross join clock

),

clocked as (

    select
        timed.*,
        reasons.advice,
        coalesce(timed.reopened_at, timed.opened_at) + make_interval(mins => slas.sla_minutes) as sla_due_at,
        {{ end_of_day('timed.event_date + 1') }} as t1_ends_at,
        {{ end_of_day('timed.event_date + 5') }} as t5_ends_at,
        {{ end_of_day('timed.event_date + tat.calendar_days') }} as tat_due_at,
        tat.penalty_per_day,
        tat.penalty_currency,
        case
            -- The claim runs whatever else is wrong with the row: a missing side, a missing key.
            when reasons.has_dispute_clock or timed.chargeback_at is not null
                then coalesce(timed.chargeback_at, timed.opened_at) + make_interval(days => dispute.calendar_days)
        end as dispute_due_at
    from timed
    left join reasons
        on timed.reason = reasons.reason
    left join slas
        on timed.severity = slas.severity
    left join clocks as tat
        on timed.exposure_side = tat.exposure_side and tat.clock = 'tat'
    left join clocks as dispute
        on dispute.clock = 'dispute'

)

select
    clocked.break_id,
    clocked.generation,
    clocked.reconciliation_id,
    clocked.flow,
    clocked.project,
    clocked.currency,
    clocked.order_key,
    clocked.outcome,
    clocked.comparability,
    clocked.reason,
    clocked.reasons,
    clocked.reason_family,
    clocked.severity,
    clocked.state,
    clocked.is_open,
    clocked.is_lapsed,
    clocked.owner,
    clocked.opened_at,
    clocked.reopened_at,
    clocked.closed_at,
    clocked.close_cause,
    clocked.lateness_seconds,
    greatest(0, extract(epoch from clocked.counted_to - clocked.opened_at))::bigint as age_seconds,
    case
        when clocked.counted_to - clocked.opened_at < interval '1 hour' then '<1h'
        when clocked.counted_to - clocked.opened_at < interval '24 hours' then '1-24h'
        when clocked.counted_to - clocked.opened_at < interval '72 hours' then '1-3d'
        when clocked.counted_to - clocked.opened_at < interval '120 hours' then '3-5d'
        when clocked.counted_to - clocked.opened_at < interval '720 hours' then '5-30d'
        else '>30d'
    end as aging_bucket,
    coalesce(clocked.counted_to >= clocked.t1_ends_at, false) as is_aged_t1,
    coalesce(clocked.counted_to >= clocked.t5_ends_at, false) as is_aged_t5,
    clocked.sla_due_at,
    coalesce(clocked.counted_to > clocked.sla_due_at, false) as is_sla_breached,
    clocked.tat_due_at,
    coalesce(clocked.counted_to >= clocked.tat_due_at, false) as is_tat_breached,
    case
        when clocked.counted_to >= clocked.tat_due_at and clocked.penalty_per_day is not null
            then
                clocked.penalty_per_day
                * ceil(greatest(1, extract(epoch from clocked.counted_to - clocked.tat_due_at)) / 86400)
        else 0
    end as tat_penalty,
    clocked.penalty_currency as tat_penalty_currency,
    clocked.dispute_due_at,
    clocked.exposure,
    clocked.exposure_side,
    case when clocked.is_open then clocked.exposure else 0 end as value_at_risk,
    clocked.vima_amount,
    clocked.payshack_amount,
    clocked.vima_status,
    clocked.payshack_status,
    clocked.vima_transaction_id,
    clocked.payshack_transaction_id,
    clocked.business_date,
    clocked.event_at,
    clocked.advice,
    clocked.decision,
    clocked.decided_by,
    clocked.decision_event_number,
    clocked.proposal,
    clocked.proposed_by,
    clocked.partner_break_id,
    clocked.last_event_number,
    clocked.last_event_at,
    clocked.evidence_hash,
    clocked.rule_version,
    clocked.evaluated_at,
    clocked.changed_xid
    {%- for column in said %},
    clocked.evaluation ->> '{{ column }}' as {{ column }}
    {%- endfor %}
from clocked
{% endmacro %}
