-- The raw log: one row per observed version of a record. Nothing here is updated or deleted.
do $$
declare
    log_table text;
begin
    foreach log_table in array array[
        'vima_operations', 'payshack_payins', 'payshack_payouts',
        'payshack_clients', 'payshack_resellers', 'payshack_service_providers'
    ] loop
        execute format($ddl$
            create table if not exists raw.%1$I (
                record_id text not null,             -- the source's own identity of the record
                content_hash text not null,          -- canonical payload less volatile fields (docs/domain)
                order_key text,                      -- match key as delivered, trimmed, NFC; null when absent
                source_order bigint,                 -- the source's own ordering value; null where it has none
                source_created_at timestamptz,
                source_updated_at timestamptz,
                payload jsonb not null,              -- everything, unaltered
                observed_at timestamptz not null,    -- when the page that held it was read
                load_mode text not null,             -- feed | window | sweep | recheck | replay
                load_scope text not null,            -- the cursor or the window that the page was read under
                load_page integer not null,
                _dlt_load_id text not null,
                loaded_xid bigint not null default (pg_current_xact_id()::text::bigint),
                primary key (record_id, content_hash)
            )$ddl$, log_table);
        -- Else a payload of two kilobytes is compressed when it is written, and once more unpacked for every field that
        -- is read of it. What does not fit into a page is compressed all the same.
        if not exists (
            select from pg_class
            where oid = format('raw.%I', log_table)::regclass and 'toast_tuple_target=8160' = any(reloptions)
        ) then
            execute format('alter table raw.%I set (toast_tuple_target = 8160)', log_table);
        end if;
        execute format('create index if not exists %I on raw.%I (loaded_xid)', log_table || '_loaded_xid', log_table);
        execute format('create index if not exists %I on raw.%I (source_created_at)', log_table || '_created', log_table);
        execute format('create index if not exists %I on raw.%I (order_key)', log_table || '_order_key', log_table);
    end loop;
end
$$;

-- A feed begins a little before its cursor, see loading/vima.py.
create index if not exists vima_operations_source_order on raw.vima_operations (source_order);

-- Records that break the contract, with the reason. The rest of their page loads.
create table if not exists raw.quarantine (
    quarantine_id bigint generated always as identity primary key,
    source_table text not null,
    record_id text,
    order_key text,
    content_hash text not null,
    reason text not null,                -- short code: missing_id, broken_amount, unparseable_time, ...
    detail text not null,                -- what was wrong, without personal data
    payload jsonb,
    source_created_at timestamptz,
    observed_at timestamptz not null,
    load_mode text not null,
    load_scope text not null,
    load_page integer not null,
    _dlt_load_id text not null,
    loaded_xid bigint not null default (pg_current_xact_id()::text::bigint),
    replayed_at timestamptz,
    unique (source_table, content_hash)
);
create index if not exists quarantine_order_key on raw.quarantine (order_key);
create index if not exists quarantine_loaded_xid on raw.quarantine (loaded_xid);

-- The feed cursor, moved in the transaction that commits its rows, never ahead of them.
create table if not exists raw.source_cursors (
    source text not null,
    stream text not null,
    cursor_value text not null,
    moved_at timestamptz not null,
    _dlt_load_id text not null,
    primary key (source, stream)
);

-- Instant up to which a complete, count-stable pass over everything has succeeded.
create table if not exists raw.source_watermarks (
    source text not null,
    flow text not null,
    watermark timestamptz not null,
    updated_at timestamptz not null,
    primary key (source, flow)
);

-- Every day window that was read completely, newest pass only: what to resume, and how fresh old days are.
create table if not exists raw.window_passes (
    source text not null,
    stream text not null,
    window_date date not null,           -- UTC created date
    total_records bigint not null,       -- the source's own total when the reading began; ours where it has none
    distinct_records bigint not null,    -- distinct ids read; the day is complete because both are equal
    started_at timestamptz not null,
    completed_at timestamptz not null,
    primary key (source, stream, window_date)
);

-- How far a window that is being read has got, moved in the transaction that commits its rows: an interrupted one goes
-- on from here. The position is null when no reading is under way.
create table if not exists raw.window_progress (
    source text not null,
    stream text not null,
    window_date date not null,
    position text,
    started_at timestamptz not null,     -- of the reading as a whole, over all interruptions
    moved_at timestamptz not null,
    _dlt_load_id text not null,
    primary key (source, stream, window_date)
);

-- When an order with an open break was last asked for by its key, so that each gets its turn.
create table if not exists raw.order_rechecks (
    source text not null,
    flow text not null,
    order_key text not null,
    checked_at timestamptz not null,
    primary key (source, flow, order_key)
);

-- One row per load attempt, kept for health, operations and audit.
create table if not exists raw.load_runs (
    load_run_id bigint generated always as identity primary key,
    source text not null,
    mode text not null,                  -- feed | window | sweep | replay
    scope text not null,
    status text not null check (status in ('running', 'succeeded', 'failed')),
    started_at timestamptz not null,
    finished_at timestamptz,
    pages bigint not null default 0,
    rows_read bigint not null default 0,
    rows_new bigint not null default 0,
    rows_quarantined bigint not null default 0,
    error text
);
create index if not exists load_runs_by_source on raw.load_runs (source, started_at desc);

grant select, insert on all tables in schema raw to psp_loader;
grant update on
    raw.quarantine, raw.source_cursors, raw.source_watermarks, raw.window_passes, raw.window_progress,
    raw.order_rechecks, raw.load_runs
to psp_loader;
grant usage on all sequences in schema raw to psp_loader;
grant select on all tables in schema raw to psp_transformer;
