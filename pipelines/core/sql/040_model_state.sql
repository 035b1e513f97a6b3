-- What the dbt models remember between runs; see the macros changed_keys and left_behind of the dbt project.
create table if not exists intermediate.model_state (
    model text primary key,
    processed_xid bigint not null default 0,     -- oldest transaction that the model has not fully seen
    pending_xid bigint not null default 0        -- the same, as of the run in progress
);

-- Match keys, references and days under which a row was counted before it changed.
create table if not exists intermediate.left_behind (
    model text not null,
    reconciliation_key text,
    utr text,
    rrn text,
    source text,
    project text,
    flow text,
    business_date date,
    logged_at timestamptz not null default now(),
    changed_xid bigint not null default (pg_current_xact_id()::text::bigint)
);
create index if not exists left_behind_by_xid on intermediate.left_behind (model, changed_xid);

grant select, insert, update, delete on intermediate.model_state, intermediate.left_behind to psp_transformer;

-- A step that is part of the mart's statement by now: what it remembered would count as a model that lags for ever.
delete from intermediate.model_state where model = 'int_reconciliation__judged';
drop table if exists intermediate.int_reconciliation__judged;
