{{ config(materialized='view', group='reconciliation') }}

-- depends_on: {{ ref('int_breaks__transitions') }}

with

events as (

    select * from {{ source('breaks', 'events') }}

)

select
    events.break_id,
    events.event_number,
    events.at,
    events.actor,
    events.actor <> 'system' as is_human,
    events.action,
    events.from_state,
    events.to_state,
    events.cause,
    events.text,
    events.owner,
    events.proposal,
    events.lateness_seconds,
    events.linked_break_id,
    events.linked_event_number,
    events.evidence_hash,
    events.rule_version,
    events.sequence,
    events.previous_hash,
    events.event_hash,
    events.written_xid as changed_xid
from events
