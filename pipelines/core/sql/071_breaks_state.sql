-- What folds out of the log of breaks, and the only way to append to it (070_breaks.sql draws it).
create or replace function breaks.is_open(state text) returns boolean
language sql immutable parallel safe as $$
    select state in ('open', 'acknowledged', 'pending_provider', 'reopened')
$$;

-- State = fold of the events of a break, in their order. The only place that says how.
create or replace view breaks.folded as
with folded as (
    select
        break_id,
        max(event_number) as last_event_number,
        max(at) filter (where event_number = 1) as opened_at,
        (array_agg(to_state order by event_number desc))[1] as state,
        (array_agg(at order by event_number desc))[1] as last_event_at,
        (array_agg(event_hash order by event_number desc))[1] as last_event_hash,
        (array_agg(owner order by event_number desc) filter (where owner is not null))[1] as owner,
        (array_agg(at order by event_number desc) filter (where action = 'reopened'))[1] as reopened_at,
        (array_agg(at order by event_number desc) filter (where from_state is distinct from to_state))[1] as moved_at,
        (array_agg(cause order by event_number desc) filter (where from_state is distinct from to_state))[1] as move_cause,
        (array_agg(lateness_seconds order by event_number desc) filter (where action = 'resolved'))[1]
            as lateness_seconds,
        (array_agg(rule_version order by event_number desc) filter (where rule_version is not null))[1] as rule_version,
        (array_agg(evaluation order by event_number desc) filter (where evaluation is not null))[1] as evaluation,
        (array_agg(evidence_hash order by event_number desc) filter (where evidence_hash is not null))[1]
            as evidence_hash,
        (array_agg(evidence_hash order by event_number desc) filter (where (evaluation -> 'is_break')::boolean))[1]
            as break_evidence_hash,
        max(event_number) filter (where action in ('explained', 'force_matched', 'written_off', 'test_excluded'))
            as decision_event_number,
        (array_agg(action order by event_number desc)
            filter (where action in ('explained', 'force_matched', 'written_off', 'test_excluded')))[1] as decision,
        (array_agg(actor order by event_number desc)
            filter (where action in ('explained', 'force_matched', 'written_off', 'test_excluded')))[1] as decided_by,
        -- Who has last opened it.
        (array_agg(actor order by event_number desc) filter (where action in ('opened', 'reopened')))[1] as opener,
        (array_agg(linked_break_id order by event_number desc) filter (where action = 'force_matched'))[1]
            as partner_break_id,
        -- A proposal falls when anything but talk happens to the break.
        max(event_number) filter (where action = 'proposed') as proposed_number,
        max(event_number) filter (where action not in ('proposed', 'commented', 'assigned')) as settled_number,
        (array_agg(proposal order by event_number desc) filter (where action = 'proposed'))[1] as newest_proposal,
        (array_agg(actor order by event_number desc) filter (where action = 'proposed'))[1] as newest_proposer,
        max(written_xid) as changed_xid
    from breaks.events
    group by break_id
)
select
    break_id,
    split_part(break_id, '-', 1) as identity,
    split_part(break_id, '-', 2)::integer as generation,
    evaluation ->> 'reconciliation_id' as reconciliation_id,
    evaluation ->> 'reconciliation_key' as reconciliation_key,
    evaluation ->> 'flow' as flow,
    evaluation ->> 'project' as project,
    evaluation ->> 'currency' as currency,
    evaluation ->> 'order_key' as order_key,
    evaluation ->> 'outcome' as outcome,
    evaluation ->> 'comparability' as comparability,
    evaluation ->> 'reason' as reason,
    array(select jsonb_array_elements_text(evaluation -> 'reasons')) as reasons,
    evaluation ->> 'reason_family' as reason_family,
    evaluation ->> 'severity' as severity,
    state,
    owner,
    opened_at,
    reopened_at,
    case when not breaks.is_open(state) then moved_at end as closed_at,
    case when not breaks.is_open(state) then move_cause end as close_cause,
    case when state = 'auto_resolved' then lateness_seconds end as lateness_seconds,
    (evaluation ->> 'exposure')::numeric as exposure,
    evaluation ->> 'exposure_side' as exposure_side,
    evaluation ->> 'vima_transaction_id' as vima_transaction_id,
    evaluation ->> 'payshack_transaction_id' as payshack_transaction_id,
    (evaluation ->> 'vima_amount')::numeric as vima_amount,
    (evaluation ->> 'payshack_amount')::numeric as payshack_amount,
    evaluation ->> 'vima_status' as vima_status,
    evaluation ->> 'payshack_status' as payshack_status,
    (evaluation ->> 'business_date')::date as business_date,
    (evaluation ->> 'event_at')::timestamptz as event_at,
    (evaluation ->> 'chargeback_at')::timestamptz as chargeback_at,
    coalesce((evaluation -> 'is_lapsed')::boolean, false) as is_lapsed,
    breaks.is_open(state) and opener <> 'system' as is_held,
    decision,
    decided_by,
    decision_event_number,
    case when proposed_number > settled_number then newest_proposal end as proposal,
    case when proposed_number > settled_number then newest_proposer end as proposed_by,
    case when proposed_number > settled_number then proposed_number end as proposal_event_number,
    partner_break_id,
    rule_version,
    evidence_hash,
    break_evidence_hash,
    evaluation,
    last_event_number,
    last_event_at,
    last_event_hash,
    changed_xid
from folded;

-- The fold, kept: written with the events of the same transaction, so that readers find their breaks by an index.
create table if not exists breaks.state as select * from breaks.folded with no data;
create unique index if not exists state_break_id on breaks.state (break_id);
create index if not exists state_identity on breaks.state (identity, generation);
create index if not exists state_reconciliation_id on breaks.state (reconciliation_id);
create index if not exists state_reconciliation_key on breaks.state (reconciliation_key);
create index if not exists state_work on breaks.state (state, severity);
create index if not exists state_vima on breaks.state (vima_transaction_id);
create index if not exists state_payshack on breaks.state (payshack_transaction_id);
create index if not exists state_changed_xid on breaks.state (changed_xid);

-- Take the chain for this transaction; everybody else who wants to append waits. Read the state after it, not before.
create or replace function breaks.begin_append() returns bigint
language sql security definer set search_path = '' as $$
    select last_sequence from breaks.head for update
$$;

-- Append what this transaction has wanted; returns how many events. Fails as a whole when a break has moved on.
create or replace function breaks.append_wanted() returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    head breaks.head;
    appended bigint;
begin
    select * into head from breaks.head for update;
    if exists (
        select from breaks.wanted_events as wanted
        left join breaks.state as known on wanted.break_id = known.break_id
        where wanted.wanted_xid = pg_current_xact_id()::text::bigint
            and wanted.expected_event_number <> coalesce(known.last_event_number, 0)
    ) then
        raise exception 'a break has newer events than were known' using errcode = 'serialization_failure';
    end if;
    if exists (
        select from breaks.wanted_events as wanted
        where wanted.wanted_xid = pg_current_xact_id()::text::bigint
            and wanted.actor = 'system' and not pg_has_role(wanted.wanted_by, 'psp_transformer', 'member')
    ) then
        raise exception 'only model runs speak for the system' using errcode = 'insufficient_privilege';
    end if;
    with numbered as (
        select
            head.last_sequence + row_number() over (order by wanted.break_id, wanted.step) as sequence,
            wanted.expected_event_number + row_number() over (partition by wanted.break_id order by wanted.step)
                as event_number,
            wanted.*
        from breaks.wanted_events as wanted
        where wanted.wanted_xid = pg_current_xact_id()::text::bigint
    ),
    texts as (
        select
            numbered.*,
            breaks.content(row(
                sequence, break_id, event_number, at, actor, action, from_state, to_state, cause, text, owner,
                evidence_hash, rule_version, lateness_seconds, linked_break_id, linked_event_number, proposal,
                evaluation, null, null, null
            )::breaks.events) as content
        from numbered
    ),
    hashed as (
        select texts.*, breaks.chain(head.last_hash, content) over (order by sequence) as event_hash from texts
    )
    insert into breaks.events (
        sequence, break_id, event_number, at, actor, action, from_state, to_state, cause, text, owner, evidence_hash,
        rule_version, lateness_seconds, linked_break_id, linked_event_number, proposal, evaluation,
        previous_hash, event_hash
    )
    select
        sequence, break_id, event_number, at, actor, action, from_state, to_state, cause, text, owner, evidence_hash,
        rule_version, lateness_seconds, linked_break_id, linked_event_number, proposal, evaluation,
        coalesce(lag(event_hash) over (order by sequence), head.last_hash), event_hash
    from hashed;
    get diagnostics appended = row_count;
    if appended > 0 then
        delete from breaks.state where break_id in (
            select break_id from breaks.events where sequence > head.last_sequence
        );
        insert into breaks.state
        select * from breaks.folded where break_id = any(array(
            select break_id from breaks.events where sequence > head.last_sequence
        ));
        update breaks.head set (last_sequence, last_hash) = (
            select sequence, event_hash from breaks.events order by sequence desc limit 1
        );
        delete from breaks.wanted_events where wanted_xid = pg_current_xact_id()::text::bigint;
    end if;
    return appended;
end
$$;

revoke all on all tables in schema breaks from public, psp_transformer, psp_operator, psp_sidecar;
revoke execute on all functions in schema breaks from public;
grant execute on function
    breaks.begin_append, breaks.append_wanted, breaks.is_open, breaks.field, breaks.content, breaks.next_hash
to psp_transformer, psp_operator;
grant select on breaks.events, breaks.state, breaks.clock, breaks.folded, breaks.head to psp_transformer, psp_operator;
grant insert (
    break_id, step, expected_event_number, at, actor, action, from_state, to_state, cause, text, owner, evidence_hash,
    rule_version, lateness_seconds, linked_break_id, linked_event_number, proposal, evaluation
) on breaks.wanted_events to psp_transformer, psp_operator;
grant insert, update on breaks.clock to psp_transformer;

-- The reviewed seeds that say what an action needs (thresholds, reason codes).
grant usage on schema reference to psp_operator;
alter default privileges for role psp_transformer in schema reference grant select on tables to psp_operator;
grant select on all tables in schema reference to psp_operator;
