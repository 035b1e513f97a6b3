-- Personal data and least privilege; safe to repeat. Who may do what is listed in docs/data/pii.md.

-- Nobody is let in by being somebody: the roles of 010 have what they need by name.
revoke all on database :"database" from public;
revoke create on schema public from public;
-- Every schema that dbt builds in exists; a transformer that could make more could hide data from the grants below.
revoke create on database :"database" from psp_transformer;
-- Readers read. Temporary tables are room on the disk.
revoke temporary on database :"database" from psp_reader, psp_pii_reader, psp_loader;

-- The key of the hashes by which marts join payers: two independent random blocks, used as HMAC uses its inner and
-- outer key. Made once; whoever replaces it must rebuild the models, since old and new hashes do not meet.
create table if not exists marts_pii.hash_key (
    only_row boolean primary key default true check (only_row),
    inner_key bytea not null,
    outer_key bytea not null,
    made_at timestamptz not null default now()
);
insert into marts_pii.hash_key (inner_key, outer_key)
select
    sha512(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')),
    sha512(convert_to(string_agg(gen_random_uuid()::text, '-'), 'UTF8'))
from generate_series(1, 8)
on conflict do nothing;
revoke all on marts_pii.hash_key from psp_reader, psp_pii_reader, psp_loader;
grant select on marts_pii.hash_key to psp_transformer;

-- The hash of a value that somebody holds in hand, so that support finds a payer's payments in the marts.
create or replace function marts_pii.keyed_hash(value text)
returns text
language sql
stable
security definer
set search_path = ''
as $$
    select pg_catalog.left(pg_catalog.encode(
        pg_catalog.sha256(hash_key.outer_key || pg_catalog.sha256(hash_key.inner_key || pg_catalog.convert_to(value, 'UTF8'))),
        'hex'
    ), 32)
    from marts_pii.hash_key
$$;
revoke execute on function marts_pii.keyed_hash from public;
grant execute on function marts_pii.keyed_hash to psp_pii_reader;
