{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
    )
}}

with

-- Read several times: kept, all of them would be written out once more.
legs as not materialized (

    select * from {{ ref('int_reconciliation__legs') }}

),

key_pairs as not materialized (

    select * from {{ ref('int_reconciliation__pairs') }}

),

references_found as not materialized (

    select * from {{ ref('int_reconciliation__references') }}

),

{{ pairs_by_reference() }},

ambiguous_legs as (

    select vima_transaction_id as transaction_id
    from references_found
    where is_ambiguous
    union
    select payshack_transaction_id as transaction_id
    from references_found
    where is_ambiguous

),

quarantine as (

    select
        order_key,
        case when source_table = 'vima_operations' then 'vima' else 'payshack' end as source,
        case source_table when 'payshack_payins' then 'payin' when 'payshack_payouts' then 'payout' end as flow
    from {{ source('raw', 'quarantine') }}
    where
        order_key is not null
        and replayed_at is null
        and source_table in ('vima_operations', 'payshack_payins', 'payshack_payouts')

),

parameters as (

    select minutes * 60 as pair_distance_seconds
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

-- Nearly every order is one record a side that are a pair, or one record alone. The others need an order among their
-- records: those with a choice, and those that a reference ties to another.
crowded as not materialized (

    select match_space from {{ ref('int_reconciliation__crowded') }}
    union
    select vima_match_space as match_space
    from references_found
    where not is_ambiguous
    union
    select payshack_match_space as match_space
    from references_found
    where not is_ambiguous

),

plain_legs as not materialized (

    select legs.*
    from legs
    where
        legs.is_reconciled
        and not exists (
            select 1
            from crowded
            where crowded.match_space = legs.match_space
        )

),

plain_vima as not materialized (

    select * from plain_legs
    where source = 'vima'

),

plain_payshack as not materialized (

    select * from plain_legs
    where source = 'payshack'

),

plain as (

    select
        coalesce(vima.match_space, payshack.match_space) as match_space,
        coalesce(vima.transaction_id, payshack.transaction_id) as head_id,
        vima.transaction_id as vima_transaction_id,
        payshack.transaction_id as payshack_transaction_id,
        case when vima.transaction_id is not null and payshack.transaction_id is not null then 1 end as pair_number,
        coalesce(vima.reconciliation_key, payshack.reconciliation_key) as reconciliation_key,
        coalesce(vima.source, payshack.source) as source,
        coalesce(vima.flow, payshack.flow) as flow,
        coalesce(vima.project, payshack.project) as project,
        coalesce(vima.order_key, payshack.order_key) as order_key,
        coalesce(vima.created_at, payshack.created_at) as created_at
    from plain_vima as vima
    full outer join plain_payshack as payshack
        on vima.match_space = payshack.match_space

),

{{ rows_of_crowded_orders() }},

everything as (

    select
        match_space,
        head_id,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number,
        reconciliation_key,
        source,
        flow,
        project,
        order_key,
        created_at,
        false as is_duplicate_success,
        1 as row_number_in_space
    from plain
    union all
    select
        match_space,
        head_id,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number,
        reconciliation_key,
        source,
        flow,
        project,
        order_key,
        created_at,
        is_duplicate_success,
        row_number_in_space
    from named

),

singles as (

    select *
    from everything
    where pair_number is null and order_key is not null

),

-- What stands alone under a key: a row of one side, or a record of a project that is not reconciled.
alone as (

    select
        reconciliation_key,
        match_space,
        source
    from singles
    union
    select
        reconciliation_key,
        match_space,
        source
    from legs
    where not is_reconciled and order_key is not null

),

-- The other side has the key, but where it must not be paired: in another project or flow, or at another time.
collisions as (

    select singles.head_id
    from singles
    inner join alone
        on
            singles.reconciliation_key = alone.reconciliation_key
            and singles.source <> alone.source
            and singles.match_space <> alone.match_space
    union
    select singles.head_id
    from singles
    cross join parameters
    inner join reconciled as opposite
        on singles.match_space = opposite.match_space and singles.source <> opposite.source
    group by singles.head_id, parameters.pair_distance_seconds
    having min({{ seconds_apart('singles', 'opposite') }}) > parameters.pair_distance_seconds

),

quarantined_counterparts as (

    select distinct singles.head_id
    from singles
    inner join quarantine
        on
            singles.order_key = quarantine.order_key
            and singles.source <> quarantine.source
            and singles.flow = coalesce(quarantine.flow, singles.flow)

)

select
    md5(
        case
            when everything.row_number_in_space = 1 then everything.match_space
            else everything.match_space || '|' || everything.head_id
        end
    ) as reconciliation_id,
    everything.reconciliation_key,
    everything.flow,
    everything.project,
    everything.order_key,
    everything.vima_transaction_id,
    everything.payshack_transaction_id,
    coalesce(attempt_lists.vima_attempt_ids, '{}') as vima_attempt_ids,
    coalesce(attempt_lists.payshack_attempt_ids, '{}') as payshack_attempt_ids,
    everything.is_duplicate_success,
    collisions.head_id is not null as is_key_collision,
    quarantined_counterparts.head_id is not null as is_counterpart_quarantined,
    case
        when reference_pairs.match_space is not null then 'by_reference'
        when everything.pair_number is not null then 'by_key'
        when ambiguous_legs.transaction_id is not null then 'ambiguous'
        else 'alone'
    end as match_state
from everything
left join attempt_lists
    on everything.head_id = attempt_lists.head_id
left join collisions
    on everything.head_id = collisions.head_id
left join quarantined_counterparts
    on everything.head_id = quarantined_counterparts.head_id
left join reference_pairs
    on
        everything.pair_number is not null
        and everything.vima_transaction_id = reference_pairs.vima_transaction_id
left join ambiguous_legs
    on everything.pair_number is null and everything.head_id = ambiguous_legs.transaction_id
