-- Schemas and roles; safe to repeat. Roles are group roles without login: processes connect as the owner of the
-- database and take the one role that they need, login roles (Metabase, people) are granted membership.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['psp_loader', 'psp_transformer', 'psp_reader', 'psp_pii_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception when duplicate_object then
                null; -- another start was faster
            end;
        end if;
        execute format('grant %I to current_user', role_name);
        execute format('grant connect, temporary on database %I to %I', current_database(), role_name);
    end loop;
end
$$;

create schema if not exists raw;
create schema if not exists reference;
create schema if not exists staging;
create schema if not exists intermediate;
create schema if not exists marts;
create schema if not exists marts_pii;
create schema if not exists dagster;

grant usage on schema raw to psp_loader, psp_transformer;
grant usage, create on schema reference, staging, intermediate, marts, marts_pii to psp_transformer;
grant usage on schema marts to psp_reader, psp_pii_reader;
grant usage on schema marts_pii to psp_pii_reader;
alter default privileges for role psp_transformer in schema marts grant select on tables to psp_reader, psp_pii_reader;
alter default privileges for role psp_transformer in schema marts_pii grant select on tables to psp_pii_reader;
