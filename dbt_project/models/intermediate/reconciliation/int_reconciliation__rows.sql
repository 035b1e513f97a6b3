{{
    config(
        materialized='table',
        unlogged=true,
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

    select distinct source_table, order_key
    from {{ source('raw', 'quarantine') }}
    where order_key is not null and replayed_at is null

),

parameters as (

    select minutes * 60 as pair_distance_seconds
    from {{ ref('reconciliation_parameters') }}
    where parameter = 'pair_distance'

),

paired_ids as (

    select vima_transaction_id as transaction_id, match_space from pairs
    union all
    select payshack_transaction_id as transaction_id, match_space from pairs

),

unpaired as (

    select legs.*
    from legs
    left join paired_ids
        on legs.transaction_id = paired_ids.transaction_id
    where legs.is_reconciled and paired_ids.transaction_id is null

),

-- Without a pair, a side is spoken for by its successes, or else by the record with most at stake.
ranked as (

    select
        unpaired.*,
        row_number() over (
            partition by unpaired.match_space, unpaired.source
            order by unpaired.stake_rank asc, unpaired.placed_at asc, unpaired.transaction_id asc
        ) as side_rank,
        exists (
            select 1 from pairs where pairs.match_space = unpaired.match_space
        ) as has_pair
    from unpaired

),

heads as (

    select
        match_space,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number,
        1 as head_order
    from pairs
    union all
    select
        match_space,
        case when source = 'vima' then transaction_id end as vima_transaction_id,
        case when source = 'payshack' then transaction_id end as payshack_transaction_id,
        null as pair_number,
        case when source = 'vima' then 2 else 3 end as head_order
    from ranked
    where effective_class = 'S' or (side_rank = 1 and not has_pair)

),

headed as (

    select vima_transaction_id as transaction_id from heads where vima_transaction_id is not null
    union all
    select payshack_transaction_id as transaction_id from heads where payshack_transaction_id is not null

),

others as (

    select unpaired.*
    from unpaired
    left join headed
        on unpaired.transaction_id = headed.transaction_id
    where headed.transaction_id is null

),

-- An attempt belongs to the nearest row of its order; the first pair is preferred. Further than a day from all, it is alone.
attached as (

    select distinct on (others.transaction_id)
        others.transaction_id,
        others.source,
        others.placed_at,
        heads.vima_transaction_id as head_vima_id,
        heads.payshack_transaction_id as head_payshack_id
    from others
    cross join parameters
    inner join heads
        on others.match_space = heads.match_space
    inner join legs as head_legs
        on head_legs.transaction_id in (heads.vima_transaction_id, heads.payshack_transaction_id)
    where
        coalesce(abs(extract(epoch from others.created_at - head_legs.created_at)), 0) <= parameters.pair_distance_seconds
    order by
        others.transaction_id asc,
        coalesce(heads.pair_number = 1, false) desc,
        coalesce(abs(extract(epoch from others.created_at - head_legs.created_at)), 0) asc,
        heads.head_order asc,
        head_legs.transaction_id asc

),

all_heads as (

    select match_space, vima_transaction_id, payshack_transaction_id, pair_number, head_order from heads
    union all
    select
        others.match_space,
        case when others.source = 'vima' then others.transaction_id end as vima_transaction_id,
        case when others.source = 'payshack' then others.transaction_id end as payshack_transaction_id,
        null as pair_number,
        4 as head_order
    from others
    left join attached
        on others.transaction_id = attached.transaction_id
    where attached.transaction_id is null

),

attempts as (

    select
        coalesce(head_vima_id, head_payshack_id) as head_id,
        array_agg(transaction_id order by placed_at, transaction_id) filter (where source = 'vima') as vima_attempt_ids,
        array_agg(transaction_id order by placed_at, transaction_id) filter (where source = 'payshack')
            as payshack_attempt_ids
    from attached
    group by coalesce(head_vima_id, head_payshack_id)

),

-- One name for the row, whatever becomes of it: the order's first row is named by the order, further ones by their leg.
named as (

    select
        all_heads.*,
        coalesce(all_heads.vima_transaction_id, all_heads.payshack_transaction_id) as head_id,
        row_number() over (
            partition by all_heads.match_space
            order by
                all_heads.head_order asc,
                all_heads.pair_number asc,
                head_legs.placed_at asc,
                head_legs.transaction_id asc
        ) as row_number_in_space
    from all_heads
    inner join legs as head_legs
        on head_legs.transaction_id = coalesce(all_heads.vima_transaction_id, all_heads.payshack_transaction_id)

)

select
    md5(
        case when named.row_number_in_space = 1 then named.match_space else named.match_space || '|' || named.head_id end
    ) as reconciliation_id,
    head.reconciliation_key,
    head.flow,
    head.project,
    head.order_key,
    named.vima_transaction_id,
    named.payshack_transaction_id,
    coalesce(attempts.vima_attempt_ids, '{}') as vima_attempt_ids,
    coalesce(attempts.payshack_attempt_ids, '{}') as payshack_attempt_ids,
    -- A further success beside a paired or an earlier one.
    named.pair_number is null
    and head.effective_class = 'S'
    and exists (
        select 1
        from legs as sibling
        left join paired_ids
            on sibling.transaction_id = paired_ids.transaction_id
        where
            sibling.match_space = named.match_space
            and sibling.source = head.source
            and sibling.effective_class = 'S'
            and sibling.transaction_id <> head.transaction_id
            and (
                paired_ids.transaction_id is not null
                or (sibling.placed_at, sibling.transaction_id) < (head.placed_at, head.transaction_id)
            )
    ) as is_duplicate_success,
    -- The other side has the key, but where it must not be paired.
    named.pair_number is null
    and head.order_key is not null
    and (
        exists (
            select 1
            from legs as elsewhere
            left join paired_ids
                on elsewhere.transaction_id = paired_ids.transaction_id
            where
                elsewhere.reconciliation_key = head.reconciliation_key
                and elsewhere.source <> head.source
                and elsewhere.match_space <> named.match_space
                and paired_ids.transaction_id is null
        )
        or (
            exists (
                select 1
                from legs as opposite
                where opposite.match_space = named.match_space and opposite.source <> head.source
            )
            and not exists (
                select 1
                from legs as opposite
                where
                    opposite.match_space = named.match_space
                    and opposite.source <> head.source
                    and coalesce(abs(extract(epoch from opposite.created_at - head.created_at)), 0)
                    <= parameters.pair_distance_seconds
            )
        )
    ) as is_key_collision,
    named.pair_number is null
    and head.order_key is not null
    and exists (
        select 1
        from quarantine
        where
            quarantine.order_key = head.order_key
            and quarantine.source_table
            = any(
                case
                    when head.source = 'payshack' then array['vima_operations']
                    when head.flow = 'payin' then array['payshack_payins']
                    else array['payshack_payouts']
                end
            )
    ) as is_counterpart_quarantined
from named
cross join parameters
inner join legs as head
    on named.head_id = head.transaction_id
left join attempts
    on named.head_id = attempts.head_id
