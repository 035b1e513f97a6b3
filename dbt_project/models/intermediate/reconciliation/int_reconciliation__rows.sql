{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_batch() }}",
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['reconciliation_id'], 'unique': true}, {'columns': ['reconciliation_key']}],
    )
}}

with

legs as (

    select * from {{ ref('int_reconciliation__legs') }}

),

pairs as (

    select * from {{ ref('int_reconciliation__pairs') }}

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

pair_legs as (

    select
        vima_transaction_id as transaction_id,
        vima_transaction_id as head_id,
        pair_number
    from pairs
    union all
    select
        payshack_transaction_id as transaction_id,
        vima_transaction_id as head_id,
        pair_number
    from pairs

),

reconciled as (

    select
        legs.*,
        pair_legs.head_id,
        pair_legs.pair_number,
        bool_or(pair_legs.pair_number is not null) over (partition by legs.match_space) as has_pair_in_space,
        row_number() over (
            partition by legs.match_space, legs.source
            order by legs.stake_rank asc, legs.placed_at asc, legs.transaction_id asc
        ) as side_rank,
        row_number() over (
            partition by legs.match_space, legs.source, legs.effective_class
            order by pair_legs.pair_number asc nulls last, legs.placed_at asc, legs.transaction_id asc
        ) as class_rank
    from legs
    left join pair_legs
        on legs.transaction_id = pair_legs.transaction_id
    where legs.is_reconciled

),

-- What each record is: a leg of a pair; alone, because it is a success or speaks for a side of an order without a pair;
-- or else an attempt of a row of its order.
roles as (

    select
        reconciled.*,
        case
            when reconciled.pair_number is not null then 'pair'
            when reconciled.effective_class = 'S' then 'single'
            when reconciled.side_rank = 1 and not reconciled.has_pair_in_space then 'single'
            else 'attempt'
        end as part
    from reconciled

),

head_legs as (

    select
        match_space,
        coalesce(head_id, transaction_id) as head_id,
        transaction_id,
        created_at,
        pair_number,
        case when part = 'pair' then 1 when source = 'vima' then 2 else 3 end as head_order
    from roles
    where part in ('pair', 'single')

),

-- An attempt belongs to the first pair of its order, else to the nearest row. Further than a day from all, it is alone.
attached as (

    select distinct on (attempts.transaction_id)
        attempts.transaction_id,
        attempts.source,
        attempts.placed_at,
        head_legs.head_id
    from roles as attempts
    cross join parameters
    inner join head_legs
        on attempts.match_space = head_legs.match_space
    where
        attempts.part = 'attempt'
        and {{ seconds_apart('attempts', 'head_legs') }} <= parameters.pair_distance_seconds
    order by
        attempts.transaction_id asc,
        coalesce(head_legs.pair_number = 1, false) desc,
        {{ seconds_apart('attempts', 'head_legs') }} asc,
        head_legs.head_order asc,
        head_legs.transaction_id asc

),

heads as (

    select
        match_space,
        vima_transaction_id as head_id,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number,
        1 as head_order
    from pairs
    union all
    select
        roles.match_space,
        roles.transaction_id as head_id,
        case when roles.source = 'vima' then roles.transaction_id end as vima_transaction_id,
        case when roles.source = 'payshack' then roles.transaction_id end as payshack_transaction_id,
        null as pair_number,
        case when roles.part = 'attempt' then 4 when roles.source = 'vima' then 2 else 3 end as head_order
    from roles
    left join attached
        on roles.transaction_id = attached.transaction_id
    where roles.part <> 'pair' and attached.transaction_id is null

),

attempt_lists as (

    select
        head_id,
        array_agg(transaction_id order by placed_at asc, transaction_id asc) filter (where source = 'vima')
            as vima_attempt_ids,
        array_agg(transaction_id order by placed_at asc, transaction_id asc) filter (where source = 'payshack')
            as payshack_attempt_ids
    from attached
    group by head_id

),

-- One name for the row, whatever becomes of it: the order's first row is named by the order, further ones by their leg.
named as (

    select
        heads.*,
        reconciled.reconciliation_key,
        reconciled.source,
        reconciled.flow,
        reconciled.project,
        reconciled.order_key,
        reconciled.created_at,
        -- A further success beside a paired or an earlier one.
        heads.pair_number is null and reconciled.effective_class = 'S' and reconciled.class_rank > 1
            as is_duplicate_success,
        row_number() over (
            partition by heads.match_space
            order by
                heads.head_order asc,
                heads.pair_number asc,
                reconciled.placed_at asc,
                reconciled.transaction_id asc
        ) as row_number_in_space
    from heads
    inner join reconciled
        on heads.head_id = reconciled.transaction_id

),

singles as (

    select *
    from named
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
            when named.row_number_in_space = 1 then named.match_space
            else named.match_space || '|' || named.head_id
        end
    ) as reconciliation_id,
    named.reconciliation_key,
    named.flow,
    named.project,
    named.order_key,
    named.vima_transaction_id,
    named.payshack_transaction_id,
    coalesce(attempt_lists.vima_attempt_ids, '{}') as vima_attempt_ids,
    coalesce(attempt_lists.payshack_attempt_ids, '{}') as payshack_attempt_ids,
    named.is_duplicate_success,
    collisions.head_id is not null as is_key_collision,
    quarantined_counterparts.head_id is not null as is_counterpart_quarantined
from named
left join attempt_lists
    on named.head_id = attempt_lists.head_id
left join collisions
    on named.head_id = collisions.head_id
left join quarantined_counterparts
    on named.head_id = quarantined_counterparts.head_id
