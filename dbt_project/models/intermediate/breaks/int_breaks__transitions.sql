{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ take_the_chain() }}",
        post_hook=[
            "{{ append_transitions() }}",
            "select breaks.append_wanted()",
            "{{ note_evaluation() }}",
            "{{ note_processed() }}",
        ],
    )
}}

{% set rules = rule_version() %}

with

evaluated as (

    select
        reconciliations.*,
        null::text as bank_line_id,
        null::timestamptz as bank_first_seen_at
    from {{ ref('int_breaks__evaluated') }} as reconciliations
    union all
    select * from {{ ref('int_breaks__bank_evaluated') }}

),

states as not materialized (

    select
        state.*,
        state.evaluation ->> 'bank_line_id' as bank_line_id,
        state.state in ('open', 'acknowledged', 'pending_provider', 'reopened') as is_open
    from {{ source('breaks', 'state') }} as state

),

-- The newest break of each identity that is one now, closed ones included.
newest as (

    select distinct on (states.identity) states.*
    from evaluated
    inner join states
        on evaluated.identity = states.identity
    order by states.identity asc, states.generation desc

),

-- Halves of forced matches that are no longer what was matched: the other half must not stay closed by them.
refuted as (

    select states.break_id
    from states
    inner join evaluated
        on states.reconciliation_id = evaluated.reconciliation_id
    where states.state = 'force_matched' and {{ has_fallen('states', 'evaluated') }}

),

-- What is a break now: new, known, or closed and back.
breaks_now as (

    select
        evaluated.*,
        newest.break_id as known_id,
        coalesce(newest.generation, 0) as known_generation,
        newest.state as known_state,
        coalesce(newest.last_event_number, 0) as known_number,
        newest.decision_event_number,
        newest.evaluation as known_evaluation,
        coalesce(newest.is_open, true) as is_known_open,
        case
            when
                newest.break_id is null
                or (not newest.is_open and not {{ shares_a_leg('newest', 'evaluated') }})
                then 'opened'
            when newest.is_open
                then
                    case
                        when
                            (newest.evaluation is distinct from evaluated.evaluation)
                            or (
                                (newest.evidence_hash is distinct from evaluated.evidence_hash)
                                and not ({{ is_noted_formerly('newest', 'evaluated') }} and newest.proposal is not null)
                            )
                            then 'changed'
                    end
            when
                newest.state = 'auto_resolved'
                or not {{ same_legs('newest.evidence_hash', 'evaluated') }}
                or {{ has_lost_its_half('newest') }}
                then 'reopened'
            when {{ is_noted_formerly('newest', 'evaluated') }} then 'changed'
        end as action,
        case
            when newest.is_open is not false then null
            when newest.state = 'force_matched' and {{ side_has_come('newest', 'evaluated') }}
                then 'true_counterpart'
            when not {{ same_legs('newest.evidence_hash', 'evaluated') }} then 'data_changed'
            when {{ has_lost_its_half('newest') }} then 'forced_match_undone'
            when (newest.rule_version is distinct from '{{ rules }}') then 'rule_changed'
            else 'context_changed'
        end as reopening_cause
    from evaluated
    left join newest
        on evaluated.identity = newest.identity
    left join states as other_halves
        on newest.state = 'force_matched' and newest.partner_break_id = other_halves.break_id
    left join refuted
        on other_halves.break_id = refuted.break_id
    where evaluated.is_break

),

-- Breaks whose row is no break of theirs any more.
no_longer as (

    select
        evaluated.*,
        states.break_id,
        states.is_open,
        states.state as known_state,
        states.last_event_number as known_number,
        states.evaluation as known_evaluation,
        states.decision_event_number,
        states.vima_transaction_id as known_vima_id,
        states.payshack_transaction_id as known_payshack_id,
        states.bank_line_id as known_bank_line_id,
        states.vima_status as known_vima_status,
        states.payshack_status as known_payshack_status,
        states.vima_amount as known_vima_amount,
        states.payshack_amount as known_payshack_amount,
        states.currency as known_currency,
        states.rule_version as known_rule_version,
        {{ side_has_come('states', 'evaluated') }} as has_side_come,
        {{ has_lapsed('states', 'evaluated') }} as is_lapsed,
        {{ has_fallen('states', 'evaluated') }} as has_fallen,
        {{ same_legs('states.evidence_hash', 'evaluated') }} as has_same_legs,
        -- A person has opened it although both sides agreed, and nothing new has been said since.
        coalesce(states.is_held, false) and {{ same_legs('states.evidence_hash', 'evaluated') }} as is_held
    from states
    inner join evaluated
        on states.reconciliation_id = evaluated.reconciliation_id
    where
        states.state <> 'auto_resolved'
        and not (
            evaluated.is_break
            and evaluated.identity = states.identity
            and (states.is_open or {{ shares_a_leg('states', 'evaluated') }})
        )

),

settled as (

    select
        no_longer.*,
        case
            when
                no_longer.is_lapsed
                or (no_longer.is_held and no_longer.is_settled)
                or not (no_longer.is_settled or no_longer.is_break or no_longer.is_gone)
                then 'changed'
            else 'resolved'
        end as action,
        {{ closing_cause('no_longer', rules) }} as cause,
        -- Why it is a break stays written on it until it closes.
        no_longer.evaluation || jsonb_build_object(
            'is_lapsed', no_longer.is_lapsed,
            'reason', no_longer.known_evaluation -> 'reason',
            'reasons', no_longer.known_evaluation -> 'reasons',
            'reason_family', no_longer.known_evaluation -> 'reason_family',
            'severity', no_longer.known_evaluation -> 'severity'
        ) as said
    from no_longer

),

-- A forced match is undone before what has come instead closes it.
undone as (

    select
        settled.*,
        case
            when settled.has_side_come then 'true_counterpart'
            when not settled.has_same_legs then 'data_changed'
            when (settled.known_rule_version is distinct from '{{ rules }}') then 'rule_changed'
            else 'context_changed'
        end as undoing_cause
    from settled
    where settled.known_state = 'force_matched' and settled.has_fallen

),

transitions as (

    select
        case
            when action = 'opened' then identity || '-' || (known_generation + 1)
            else known_id
        end as break_id,
        1 as step,
        case when action = 'opened' then 0 else known_number end as expected_event_number,
        action,
        case when action <> 'opened' then known_state end as from_state,
        case action when 'opened' then 'open' when 'reopened' then 'reopened' else known_state end as to_state,
        case when action = 'reopened' then reopening_cause end as cause,
        evidence_hash,
        null::bigint as lateness_seconds,
        case when action = 'reopened' then decision_event_number end as linked_event_number,
        -- Evidence that is only noted anew leaves what was decided as it was.
        case when action = 'changed' and not is_known_open then known_evaluation else evaluation end as evaluation
    from breaks_now
    where action is not null
    union all
    select
        break_id,
        1 as step,
        known_number as expected_event_number,
        'reopened' as action,
        known_state as from_state,
        'reopened' as to_state,
        undoing_cause as cause,
        evidence_hash,
        null as lateness_seconds,
        decision_event_number as linked_event_number,
        null as evaluation
    from undone
    union all
    select
        settled.break_id,
        2 as step,
        settled.known_number as expected_event_number,
        settled.action,
        case when undone.break_id is not null then 'reopened' else settled.known_state end as from_state,
        case
            when settled.action = 'resolved' then 'auto_resolved'
            when undone.break_id is not null then 'reopened'
            else settled.known_state
        end as to_state,
        case when settled.action = 'resolved' then settled.cause end as cause,
        settled.evidence_hash,
        case when settled.action = 'resolved' then {{ lateness_seconds('settled') }} end as lateness_seconds,
        case when settled.action = 'resolved' then settled.decision_event_number end as linked_event_number,
        -- A closed break tells what it was; what it is now, reconciliation tells.
        case when settled.action = 'changed' then settled.said end as evaluation
    from settled
    left join undone
        on settled.break_id = undone.break_id
    where
        settled.action = 'resolved'
        -- While it can not be judged, or by time alone: an open break says so, a decided one stays as it is.
        or (
            (settled.is_open or undone.break_id is not null)
            and (settled.known_evaluation is distinct from settled.said)
        )

)

select
    transitions.break_id,
    transitions.step,
    transitions.expected_event_number,
    transitions.action,
    transitions.from_state,
    transitions.to_state,
    transitions.cause,
    transitions.evidence_hash,
    '{{ rules }}' as rule_version,
    transitions.lateness_seconds,
    states.partner_break_id as linked_break_id,
    transitions.linked_event_number,
    transitions.evaluation
from transitions
left join states
    on transitions.break_id = states.break_id and transitions.cause = 'forced_match_undone'
