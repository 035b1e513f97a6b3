-- Whoever listens on psp_marts hears of every model that commits: each writes its own line of intermediate.model_state
-- in the transaction of its rows. The sidecar keeps answers until then. Equal payloads of one transaction arrive once.
create or replace function ops.announce_marts()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform pg_catalog.pg_notify('psp_marts', '');
    return null;
end
$$;
create or replace trigger announce_marts
after insert or update on intermediate.model_state
for each statement execute function ops.announce_marts();
