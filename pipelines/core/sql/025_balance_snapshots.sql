-- One row per PayShack client and reading of the directory. A balance that returns to an earlier value makes no new version
-- in raw.payshack_clients; here every reading counts.
create table if not exists raw.payshack_balance_snapshots (
    client_id text not null,
    observed_at timestamptz not null,    -- when the directory was read
    content_hash text not null,          -- the version in raw.payshack_clients that was seen
    balance numeric,                     -- rupees; null where the record tells none that is a number
    primary key (client_id, observed_at)
);

grant select, insert on raw.payshack_balance_snapshots to psp_loader;
grant select on raw.payshack_balance_snapshots to psp_transformer;
