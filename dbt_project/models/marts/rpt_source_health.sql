{{
    config(
        materialized='table',
        group='reporting',
    )
}}

with

watermarks as (

    select * from {{ source('raw', 'source_watermarks') }}

),

load_runs as (

    select * from {{ source('raw', 'load_runs') }}

),

window_passes as (

    select * from {{ source('raw', 'window_passes') }}

),

quarantine as (

    select * from {{ source('raw', 'quarantine') }}

),

newest_records as (

    select
        'vima_operations' as source_table,
        max(source_created_at) as newest_record_at
    from {{ source('raw', 'vima_operations') }}

    union all

    select
        'payshack_payins' as source_table,
        max(source_created_at) as newest_record_at
    from {{ source('raw', 'payshack_payins') }}

    union all

    select
        'payshack_payouts' as source_table,
        max(source_created_at) as newest_record_at
    from {{ source('raw', 'payshack_payouts') }}

),

flows (source, flow, quarantine_table, stream) as (

    values
    ('vima', 'payin', 'vima_operations', null),
    ('vima', 'payout', 'vima_operations', null),
    ('payshack', 'payin', 'payshack_payins', 'payshack_payins'),
    ('payshack', 'payout', 'payshack_payouts', 'payshack_payouts')

),

newest_runs as (

    select distinct on (source)
        source,
        status,
        mode,
        started_at,
        finished_at,
        error
    from load_runs
    order by source asc, started_at desc, load_run_id desc

),

run_totals as (

    select
        source,
        max(finished_at) filter (where status = 'succeeded') as last_success_at,
        sum(rows_new) as rows_total
    from load_runs
    group by source

),

quarantined as (

    select
        source_table,
        count(*) filter (where replayed_at is null) as rows_quarantined
    from quarantine
    group by source_table

),

passes as (

    select
        stream,
        min(completed_at) as oldest_pass_at
    from window_passes
    group by stream

)

select
    flows.source,
    flows.flow,
    watermarks.watermark,
    extract(epoch from {{ psp_now() }} - watermarks.watermark)::numeric(18, 3) as lag_seconds,
    newest_records.newest_record_at,
    newest_runs.started_at as last_run_at,
    newest_runs.finished_at as last_finished_at,
    newest_runs.mode as last_mode,
    newest_runs.status as last_status,
    newest_runs.error as last_error,
    run_totals.last_success_at,
    coalesce(run_totals.rows_total, 0)::bigint as rows_total,
    coalesce(quarantined.rows_quarantined, 0) as rows_quarantined,
    passes.oldest_pass_at as every_day_reread_since,
    {{ psp_now() }} as evaluated_at
from flows
left join watermarks
    on flows.source = watermarks.source and flows.flow = watermarks.flow
left join newest_runs
    on flows.source = newest_runs.source
left join run_totals
    on flows.source = run_totals.source
left join quarantined
    on flows.quarantine_table = quarantined.source_table
left join newest_records
    on flows.quarantine_table = newest_records.source_table
left join passes
    on flows.stream = passes.stream
