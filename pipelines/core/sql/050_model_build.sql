-- Which code and seeds the models were last built with: another fingerprint asks for a full refresh, since incremental
-- models would otherwise keep rows that older rules have made.
create table if not exists intermediate.model_build (
    only_row boolean primary key default true check (only_row),
    fingerprint text not null,
    built_at timestamptz not null
);

grant select, insert, update on intermediate.model_build to psp_transformer;
