-- Signed days: what was signed, for ever, and what became known of it later. No model rebuilds anything here; rows are
-- added and never changed. docs/domain/closing.md tells what a close means.
create schema if not exists closing;
grant usage on schema closing to psp_transformer;

-- The dbt project by which a day was judged, as an archive: a signed day can be built again when the rules are others.
create table if not exists closing.rule_books (
    rule_version text primary key,       -- fingerprint of models, seeds and zone, as intermediate.model_build has it
    archive bytea not null,              -- tar.xz of dbt_project
    archived_at timestamptz not null
);

-- One row per close, each with the hash of the one before.
create table if not exists closing.day_closes (
    close_number bigint primary key,     -- 1, 2, 3 ... without gaps: the chain's order
    business_date date not null,
    kind text not null check (kind in ('provisional', 'final')),
    closed_at timestamptz not null,      -- the platform's clock
    closed_by text not null,
    as_known_at timestamptz not null,    -- everything committed and due by then is in the report, nothing later
    known_snapshot text not null,        -- pg_snapshot: which rows of the raw log were visible
    rule_version text not null references closing.rule_books,
    business_timezone text not null,
    watermarks jsonb not null,           -- of each source and flow, as they stood
    open_quarantine bigint[] not null,   -- quarantined records that had not been played again
    line_count integer not null,
    report_hash text not null,           -- sha256 of the report's bytes
    previous_hash text not null,
    close_hash text not null,            -- sha256 over all of the above, see pipelines/closing/ledger.py
    changed_xid bigint not null default (pg_current_xact_id()::text::bigint),
    unique (business_date, kind)
);

-- The signed report, line by line; joined by line feeds they are its bytes.
create table if not exists closing.signed_lines (
    close_number bigint not null references closing.day_closes,
    line_number integer not null,
    section text not null,               -- head, daily, bridge, tolerance, movements, row
    row_key text,                        -- reconciliation_id in section row
    line text not null,
    primary key (close_number, line_number)
);
create unique index if not exists signed_rows on closing.signed_lines (close_number, row_key) where section = 'row';

-- What became known of a day after its final close, once each: the row as it was known before, and as it is since.
create table if not exists closing.adjustments (
    adjustment_id bigint generated always as identity primary key,
    close_number bigint not null references closing.day_closes,
    business_date date not null,
    reconciliation_id text not null,
    change text not null check (change in ('arrived', 'changed', 'left')),
    known_at timestamptz not null,       -- the platform's clock in the model run that found it
    booked_on date not null,             -- business date of known_at: the day that bears it
    known_before jsonb,
    known_since jsonb,
    changed_xid bigint not null default (pg_current_xact_id()::text::bigint)
);
create index if not exists adjustments_of_row on closing.adjustments (close_number, reconciliation_id, adjustment_id);
create index if not exists adjustments_by_xid on closing.adjustments (changed_xid);

create or replace function closing.refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception 'what was signed is never changed' using errcode = 'insufficient_privilege';
end
$$;
do $$
declare
    signed_table text;
begin
    foreach signed_table in array array['rule_books', 'day_closes', 'signed_lines', 'adjustments'] loop
        execute format(
            'create or replace trigger signed_stays before update or delete on closing.%I'
            ' for each row execute function closing.refuse_change()', signed_table
        );
        execute format(
            'create or replace trigger signed_stays_all before truncate on closing.%I'
            ' for each statement execute function closing.refuse_change()', signed_table
        );
    end loop;
end
$$;

-- What a signature covers of a row of fct_reconciliation. Numbers by value: 100.50 and 100.5 are one amount.
create or replace function closing.signed_row(mart_row jsonb) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_object_agg(
        fields.name,
        case jsonb_typeof(mart_row -> fields.name)
            when 'number' then to_jsonb(trim_scale((mart_row ->> fields.name)::numeric))
            else coalesce(mart_row -> fields.name, 'null')
        end
    )
    from unnest(array[
        'reconciliation_id', 'business_date', 'event_at', 'project', 'flow', 'order_key', 'outcome', 'comparability',
        'match_state', 'reasons', 'severity', 'exposure', 'exposure_side', 'currency', 'payshack_currency',
        'vima_transaction_id', 'payshack_transaction_id', 'vima_attempt_ids', 'payshack_attempt_ids',
        'vima_amount', 'payshack_amount', 'vima_status', 'payshack_status', 'vima_effect', 'payshack_effect',
        'tolerated_difference'
    ]) as fields (name)
$$;

-- Whether a row still says what was signed of it. Only what the signature covers is asked: a field that a later release
-- adds to the report changes no signed day.
create or replace function closing.says_the_same(signed jsonb, mart_row jsonb) returns boolean
language sql immutable parallel safe as $$
    select coalesce(bool_and(field.value is not distinct from (closing.signed_row(mart_row) -> field.key)), false)
    from jsonb_each(signed) as field
$$;

grant select, insert on closing.rule_books, closing.day_closes, closing.signed_lines, closing.adjustments
to psp_transformer;

-- The bank's word (R10): booked lines of the statements that were loaded, each once, whatever file brought it.
create table if not exists raw.bank_statements (
    file_hash text not null,             -- sha256 of the file
    statement_number integer not null,   -- place in the file
    file_name text not null,
    file_format text not null check (file_format in ('camt053', 'mt940', 'csv')),
    account text not null,
    currency text not null,
    statement_name text not null,
    first_day date,
    last_day date,
    opening_balance numeric,
    closing_balance numeric,
    line_count integer not null,
    observed_at timestamptz not null,
    loaded_xid bigint not null default (pg_current_xact_id()::text::bigint),
    primary key (file_hash, statement_number)
);
create table if not exists raw.bank_lines (
    line_key text primary key,           -- account, value date, amount, reference, line hash, number among equals
    line_hash text not null,
    occurrence integer not null,         -- number among equal lines of its statement
    account text not null,
    currency text not null,
    value_date date not null,
    booked_on date not null,
    amount numeric not null,             -- signed: + credit
    reference text,
    narration text not null,             -- as written; may hold personal data
    file_hash text not null,             -- the file that brought it first
    statement_number integer not null,
    line_number integer not null,
    observed_at timestamptz not null,
    loaded_xid bigint not null default (pg_current_xact_id()::text::bigint)
);
create index if not exists bank_lines_loaded_xid on raw.bank_lines (loaded_xid);
create index if not exists bank_lines_account on raw.bank_lines (account, value_date);
grant select, insert on raw.bank_statements, raw.bank_lines to psp_loader;
grant select on raw.bank_statements, raw.bank_lines to psp_transformer;
