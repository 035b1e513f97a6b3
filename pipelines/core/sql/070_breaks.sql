-- The life of breaks: an append-only, hash-chained log of events, and the state that folds out of it.
--
--     model run (opened, changed, resolved, reopened) ─┐
--                                                      ├─▶ wanted_events ─▶ append_wanted() ─▶ events ─▶ folded ─▶ state
--     people through pipelines.breaks ─────────────────┘                     one at a time    for ever  (view)    (kept)
--
-- No model rebuilds anything here. Rows are written by append_wanted() alone, whoever calls it: no role may insert,
-- update or delete events. docs/operations/breaks.md tells what the actions mean.
do $$
begin
    if not exists (select from pg_roles where rolname = 'psp_operator') then
        begin
            create role psp_operator nologin;
        exception when duplicate_object then
            null; -- another start was faster
        end;
    end if;
    grant psp_operator to current_user;
    grant psp_reader to psp_operator;
    grant psp_operator to psp_sidecar;
end
$$;

create schema if not exists breaks;
grant usage on schema breaks to psp_transformer, psp_operator;

create table if not exists breaks.events (
    sequence bigint primary key,         -- place in the one chain of all events, without gaps
    break_id text not null,
    event_number integer not null check (event_number > 0),
    at timestamptz not null,             -- the platform's clock
    actor text not null,                 -- system, or who acted
    action text not null check (action in (
        'opened', 'changed', 'resolved', 'reopened',
        'acknowledged', 'assigned', 'commented', 'provider_asked', 'explained', 'force_matched', 'written_off',
        'test_excluded', 'proposed', 'rejected'
    )),
    from_state text,
    to_state text not null check (to_state in (
        'open', 'acknowledged', 'pending_provider', 'reopened',
        'auto_resolved', 'explained', 'force_matched', 'written_off', 'excluded_test'
    )),
    cause text,                          -- why the state moved; for people the reason code that they chose
    text text,
    owner text,                          -- who is to work on it from here on
    evidence_hash text,                  -- of both legs' ids, states, amounts and references
    rule_version text,                   -- of the reviewed seeds
    lateness_seconds bigint,
    linked_break_id text,                -- the other break of a forced match
    linked_event_number integer,         -- the decision or proposal that this event is about
    proposal text,                       -- the action that waits for a second person
    evaluation jsonb,                    -- what reconciliation said of the row; null where a person acted
    previous_hash text not null,
    event_hash text not null,
    written_xid bigint not null default (pg_current_xact_id()::text::bigint),
    unique (break_id, event_number)
);

-- One row: the end of the chain. Whoever appends holds it until his transaction ends.
create table if not exists breaks.head (
    only_row boolean primary key default true check (only_row),
    last_sequence bigint not null,
    last_hash text not null
);
insert into breaks.head (last_sequence, last_hash) values (0, repeat('0', 64)) on conflict do nothing;

-- One row: the instant for which the last model run looked at the breaks; their age is counted to it.
create table if not exists breaks.clock (
    only_row boolean primary key default true check (only_row),
    evaluated_at timestamptz not null
);

-- What a transaction wants appended; empty outside of one.
create unlogged table if not exists breaks.wanted_events (
    break_id text not null,
    step integer not null,               -- order among the events of one break
    expected_event_number integer not null, -- its newest event as known to the writer, 0 for a new break
    at timestamptz not null,
    actor text not null,
    action text not null,
    from_state text,
    to_state text not null,
    cause text,
    text text,
    owner text,
    evidence_hash text,
    rule_version text,
    lateness_seconds bigint,
    linked_break_id text,
    linked_event_number integer,
    proposal text,
    evaluation jsonb,
    wanted_xid bigint not null default (pg_current_xact_id()::text::bigint),
    wanted_by text not null default current_user
);

create or replace function breaks.refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception 'events of breaks are never changed' using errcode = 'insufficient_privilege';
end
$$;
create or replace trigger events_stay before update or delete on breaks.events
for each row execute function breaks.refuse_change();
create or replace trigger events_stay_all before truncate on breaks.events
for each statement execute function breaks.refuse_change();

-- A field of an event in the text that is hashed: its length first, so that no two events share a text.
create or replace function breaks.field(value text) returns text
language sql immutable parallel safe as $$ select coalesce(length(value)::text || ':' || value, '-') || ',' $$;

create or replace function breaks.content(event breaks.events) returns text
language sql immutable parallel safe set search_path = 'breaks', 'pg_catalog' as $$
    select field(event.sequence::text) || field(event.break_id) || field(event.event_number::text)
        || field(to_char(event.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || field(event.actor) || field(event.action) || field(event.from_state) || field(event.to_state)
        || field(event.cause) || field(event.text) || field(event.owner) || field(event.evidence_hash)
        || field(event.rule_version) || field(event.lateness_seconds::text) || field(event.linked_break_id)
        || field(event.linked_event_number::text) || field(event.proposal) || field(event.evaluation::text)
$$;

-- hash of an event = sha256(hash of the event before it in the chain, content of the event)
create or replace function breaks.next_hash(state text, start text, content text) returns text
language sql immutable parallel safe as $$
    select encode(sha256(convert_to(coalesce(state, start) || content, 'UTF8')), 'hex')
$$;
create or replace aggregate breaks.chain(start text, content text) (sfunc = breaks.next_hash, stype = text);
