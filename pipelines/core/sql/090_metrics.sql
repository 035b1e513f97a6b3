-- What the metrics models remember between runs, and the percentile that dashboards and marts share.

-- Five-minute buckets of which a payment came, changed or went, as the marts above fct_transaction_outcomes count them.
create table if not exists intermediate.metrics_changes (
    source text not null,
    bucket_at timestamptz not null,
    logged_at timestamptz not null default now(),
    changed_xid bigint not null default (pg_current_xact_id()::text::bigint)
);
create index if not exists metrics_changes_by_xid on intermediate.metrics_changes (changed_xid);
grant select, insert, delete on intermediate.metrics_changes to psp_transformer;

-- Percentile of a histogram whose buckets have been added up: `bounds` are the upper bounds, `counts` has one bucket more,
-- for what lies above the last bound. Linear within a bucket; above the last bound that bound, which is then a least value.
create or replace function marts.percentile_of_buckets(bounds numeric[], counts numeric[], share numeric)
returns numeric
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
    total numeric := 0;
    below numeric := 0;
    lower_bound numeric := 0;
    wanted numeric;
begin
    for number in 1 .. pg_catalog.cardinality(counts) loop
        total := total + coalesce(counts[number], 0);
    end loop;
    if total = 0 or share is null then
        return null;
    end if;
    wanted := share * total;
    for number in 1 .. pg_catalog.cardinality(bounds) loop
        if counts[number] > 0 and below + counts[number] >= wanted then
            return pg_catalog.round(lower_bound + (wanted - below) / counts[number] * (bounds[number] - lower_bound), 3);
        end if;
        below := below + coalesce(counts[number], 0);
        lower_bound := bounds[number];
    end loop;
    return lower_bound;
end
$$;
grant execute on function marts.percentile_of_buckets to psp_reader, psp_pii_reader, psp_transformer;
