-- What the sidecar needs beyond the marts: a role of its own that may read what psp_reader reads and write its audit
-- trail, what the source said word for word with personal data masked, and how the loads stand right now.
do $$
begin
    if not exists (select from pg_roles where rolname = 'psp_sidecar') then
        begin
            create role psp_sidecar nologin;
        exception when duplicate_object then
            null; -- another start was faster
        end;
    end if;
    grant psp_sidecar to current_user;
    grant psp_reader to psp_sidecar;
end
$$;

create schema if not exists ops;
grant usage on schema ops to psp_sidecar, psp_pii_reader;

-- Who took which rows out. Written before the first byte leaves, closed when the last one has left or the client has.
create table if not exists ops.exports (
    export_id uuid primary key,
    actor text not null,                 -- name of the API key, or cli:<user>
    dataset text not null,               -- transactions | reconciliation | metrics
    format text not null,                -- csv | xlsx
    filters jsonb not null,
    clock_at timestamptz not null,       -- "now" of the platform when it was asked for
    started_at timestamptz not null default now(),
    as_of timestamptz,                   -- instant up to which all sources were complete
    row_count bigint,
    finished_at timestamptz,
    outcome text not null default 'running' check (outcome in ('running', 'completed', 'cancelled', 'failed')),
    bytes_sent bigint,
    content_sha256 text                  -- of the rows as UTF-8 CSV, the same for every format
);
create index if not exists exports_started on ops.exports (started_at desc);

-- Who looked at personal data, whose.
create table if not exists ops.reveals (
    reveal_id bigint generated always as identity primary key,
    actor text not null,
    transaction_id text not null,
    revealed_at timestamptz not null default now()
);
create index if not exists reveals_transaction on ops.reveals (transaction_id);

grant select, insert on ops.exports to psp_sidecar;
grant update (as_of, row_count, finished_at, outcome, bytes_sent, content_sha256) on ops.exports to psp_sidecar;
grant insert on ops.reveals to psp_sidecar;

-- Fields of a payload that are no personal data, as reviewed. Every other field, also one that a source adds tomorrow,
-- is masked. A path names keys only; positions in arrays are left out. `*` stands for any one key.
create table if not exists ops.open_payload_fields (
    source text not null,
    field_path text not null,
    primary key (source, field_path)
);
insert into ops.open_payload_fields (source, field_path)
select 'vima', field_path
from unnest(array[
    'operation_id', 'reference_id', 'client_operation_id', 'operation_create_id', 'operation_update_id',
    'service', 'service_env', 'project', 'project_env', 'integration_type', 'credentials_owner',
    'current_status', 'payment_status', 'operation_state',
    'payment_product', 'payment_method_type', 'payment_method_code',
    'operation_created_at', 'operation_modified_at',
    'complete_amount', 'complete_currency', 'complete_created_at', 'complete_modified_at',
    'create_params.method', 'create_params.service_id',
    'create_params.params.payment.amount.value', 'create_params.params.payment.amount.currency',
    'create_params.params.payment.client.country', 'create_params.params.payment.client.language',
    'create_params.params.payment.identifiers.c_id',
    'card_start.oper_type', 'card_start.action_id', 'card_start.payment_id', 'card_start.payment_gate',
    'card_start.currency', 'card_start.amount', 'card_start.created_at', 'card_start.modified_at',
    'card_finish.action_id', 'card_finish.currency', 'card_finish.amount', 'card_finish.charged_currency',
    'card_finish.charged_amount', 'card_finish.charged_fee', 'card_finish.result',
    'card_finish.created_at', 'card_finish.modified_at', 'card_finish.rates.*',
    'payment_custom_data.name', 'rates.*'
]) as field_path
union all
select 'payshack', field_path
from unnest(array[
    '_id', 'txnId', 'transactionId', 'spTxnId', 'orderId', 'utr', 'rrn',
    'txnStatus', 'status', 'transactionType', 'paymentMode', 'callbackStatus',
    'clientId', 'clientName', 'resellerId', 'resellerName',
    'amount', 'paidAmount', 'currency', 'totalCommissionAmount', 'clientCommission', 'resellerCommission',
    'txnCharges', 'netAmount', 'createdAt', 'modifiedAt', 'completedAt'
]) as field_path
on conflict do nothing;

-- The payload with every value masked that is not listed above; its shape stays, so that a reader sees what was sent.
create or replace function ops.masked(payload_source text, payload jsonb, path text default null)
returns jsonb
language plpgsql
stable
parallel safe
set search_path = ''
as $$
begin
    case jsonb_typeof(payload)
        when 'object' then
            return (
                select coalesce(
                    jsonb_object_agg(member.key, ops.masked(payload_source, member.value, concat_ws('.', path, member.key))),
                    '{}'
                )
                from jsonb_each(payload) as member
            );
        when 'array' then
            return (
                select coalesce(jsonb_agg(ops.masked(payload_source, item.value, path) order by item.position), '[]')
                from jsonb_array_elements(payload) with ordinality as item (value, position)
            );
        when 'null' then
            return payload;
        else
            if exists (
                select from ops.open_payload_fields as field
                where field.source = payload_source
                    and field.field_path in (path, regexp_replace(path, '[^.]*$', '*'))
            ) then
                return payload;
            end if;
            return '"***"';
    end case;
end
$$;

create or replace view ops.payloads as
select 'vima' as source, null::text as flow, record_id, content_hash, payload from raw.vima_operations
union all
select 'payshack', 'payin', record_id, content_hash, payload from raw.payshack_payins
union all
select 'payshack', 'payout', record_id, content_hash, payload from raw.payshack_payouts;

create or replace view ops.masked_payloads as
select source, flow, record_id, content_hash, ops.masked(source, payload) as payload from ops.payloads;

-- The newest load of each source and where its feed cursor stands; the marts only know the load that they were built after.
create or replace view ops.source_loads as
select distinct on (runs.source)
    runs.source,
    runs.status,
    runs.mode,
    runs.started_at,
    runs.finished_at,
    runs.error,
    (
        select max(succeeded.finished_at)
        from raw.load_runs as succeeded
        where succeeded.source = runs.source and succeeded.status = 'succeeded'
    ) as last_success_at,
    (
        select max(cursors.cursor_value) -- a source has one feed cursor at most
        from raw.source_cursors as cursors
        where cursors.source = runs.source
    ) as cursor_value
from raw.load_runs as runs
order by runs.source asc, runs.started_at desc, runs.load_run_id desc;

revoke execute on function ops.masked from public;
grant execute on function ops.masked to psp_sidecar, psp_pii_reader;
grant select on ops.open_payload_fields to psp_sidecar, psp_pii_reader;
grant select on ops.masked_payloads, ops.source_loads to psp_sidecar;
grant select on ops.payloads to psp_pii_reader;

-- Whoever listens on psp_activity hears of every load that begins and ends, at the moment it commits.
create or replace function ops.announce_load()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform pg_catalog.pg_notify('psp_activity', pg_catalog.json_build_object(
        'type', case new.status when 'running' then 'sync_started' when 'succeeded' then 'sync_completed' else 'sync_failed' end,
        'source', new.source,
        'mode', new.mode,
        'scope', pg_catalog.left(new.scope, 200),
        'started_at', new.started_at,
        'finished_at', new.finished_at,
        'rows_read', new.rows_read,
        'rows_new', new.rows_new,
        'error', pg_catalog.left(new.error, 500)
    )::text);
    return null;
end
$$;
create or replace trigger announce_load_started
after insert on raw.load_runs
for each row execute function ops.announce_load();
create or replace trigger announce_load_ended
after update of status on raw.load_runs
for each row when (old.status is distinct from new.status) execute function ops.announce_load();
