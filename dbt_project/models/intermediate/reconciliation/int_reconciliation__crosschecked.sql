{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

{# A table of its own: few rows, and what is beside them can then be judged in parallel. #}

{# The mart is read by name: it is downstream, and its previous state is what is wanted here. #}
{% set incremental = reads_changes_only('marts', 'fct_reconciliation') %}

with

-- Read several times: kept, all of it would be written out once more, and nothing that reads a CTE is done in parallel.
compared as not materialized (

    select * from {{ ref('int_reconciliation__compared') }}

),

-- Imported without being kept: each use below finds its few rows by an index.
transactions as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

keys as (

    select * from {{ ref('int_reconciliation__keys_changed') }}

),

parameters as not materialized (

    select minutes * interval '1 minute' as reference_window
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'reference_window'

),

{{ records_that_share_a_reference(incremental) }},

days as (

    select distinct
        business_date,
        project,
        flow
    from compared
    where is_amount_different and abs(difference) <= tolerance

),

-- Differences within tolerance, also those of the day that are not judged in this run.
tolerated as (

    select
        reconciliation_id,
        business_date,
        project,
        flow,
        vima_currency as currency,
        event_at,
        abs(difference) as difference
    from compared
    where is_amount_different and abs(difference) <= tolerance
    {% if incremental %}
    union all
    select
        mart.reconciliation_id,
        mart.business_date,
        mart.project,
        mart.flow,
        mart.currency,
        mart.event_at,
        abs(mart.tolerated_difference) as difference
    from marts.fct_reconciliation as mart
    inner join days
        on
            mart.business_date = days.business_date
            and mart.project = days.project
            and mart.flow = days.flow
    where
        mart.tolerated_difference is not null
        and not exists (
            select 1
            from keys
            where keys.reconciliation_key = mart.reconciliation_key
        )
    {% endif %}

),

-- The ledger of a day: what has been tolerated up to and with each row.
tolerance_ledger as (

    select
        reconciliation_id,
        sum(difference) over (
            partition by business_date, project, flow, currency
            order by event_at asc, reconciliation_id asc
        ) as tolerated_so_far
    from tolerated

),

-- One per row of which another row has something to say.
told as (

    {% for side in ['vima', 'payshack'] -%}
    select
        compared.reconciliation_id,
        true as is_duplicate_utr,
        null::numeric as tolerated_so_far
    from compared
    inner join sharing_references
        on compared.{{ side }}_transaction_id = sharing_references.transaction_id
    union all
    {% endfor -%}
    select
        reconciliation_id,
        false as is_duplicate_utr,
        tolerated_so_far
    from tolerance_ledger

)

select
    reconciliation_id,
    bool_or(is_duplicate_utr) as is_duplicate_utr,
    max(tolerated_so_far) as tolerated_so_far
from told
group by reconciliation_id
