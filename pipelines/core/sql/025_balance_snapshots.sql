-- One row per PayShack client and reading of the directory. A balance that returns to an earlier value makes no new version
-- in raw.payshack_clients; here every reading counts.
create table if not exists raw.payshack_balance_snapshots (
    client_id text not null,
    observed_at timestamptz not null,    -- when the directory was read
    content_hash text not null,          -- the version in raw.payshack_clients that was seen
    balance numeric,                     -- rupees; null where the record tells none that is a number
    loaded_xid bigint not null default (pg_current_xact_id()::text::bigint),
    primary key (client_id, observed_at)
);

-- A table of an earlier release: the models follow what was loaded, not when it was read.
do $$
begin
    if not exists (
        select from pg_attribute
        where attrelid = 'raw.payshack_balance_snapshots'::regclass and attname = 'loaded_xid'
    ) then
        alter table raw.payshack_balance_snapshots
            add column loaded_xid bigint not null default (pg_current_xact_id()::text::bigint);
    end if;
end
$$;
create index if not exists payshack_balance_snapshots_loaded_xid on raw.payshack_balance_snapshots (loaded_xid);

grant select, insert on raw.payshack_balance_snapshots to psp_loader;
grant select on raw.payshack_balance_snapshots to psp_transformer;
