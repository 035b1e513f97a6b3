{#
    CTEs of int_reconciliation__rows for the orders that have a choice: several records on a side, or one on each that are no
    pair. Reads `legs`, `pairs`, `crowded` and `parameters`; `named` is what it hands on, one row per pair or single.
#}
{% macro rows_of_crowded_orders() %}
pair_legs as (

    select
        unnest(array[pairs.vima_transaction_id, pairs.payshack_transaction_id]) as transaction_id,
        pairs.vima_transaction_id as head_id,
        pairs.pair_number
    from pairs
    inner join crowded
        on pairs.match_space = crowded.match_space

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
            partition by legs.match_space, legs.source, legs.has_money
            order by pair_legs.pair_number asc nulls last, legs.placed_at asc, legs.transaction_id asc
        ) as money_rank
    from legs
    inner join crowded
        on legs.match_space = crowded.match_space
    left join pair_legs
        on legs.transaction_id = pair_legs.transaction_id
    where legs.is_reconciled

),

-- What each record is: a leg of a pair; alone, because it has money or speaks for a side of an order without a pair;
-- or else an attempt of a row of its order.
roles as (

    select
        reconciled.*,
        case
            when reconciled.pair_number is not null then 'pair'
            when reconciled.has_money then 'single'
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
        pair_number = min(pair_number) over (partition by match_space) as is_first_pair,
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
        coalesce(head_legs.is_first_pair, false) desc,
        {{ seconds_apart('attempts', 'head_legs') }} asc,
        head_legs.head_order asc,
        head_legs.transaction_id asc

),

heads as (

    select
        pairs.match_space,
        pairs.vima_transaction_id as head_id,
        pairs.vima_transaction_id,
        pairs.payshack_transaction_id,
        pairs.pair_number,
        1 as head_order
    from pairs
    inner join crowded
        on pairs.match_space = crowded.match_space
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
        -- Of a pair by reference that side's key which has one.
        coalesce(reconciled.order_key, partners.order_key) as order_key,
        reconciled.created_at,
        -- A further success beside a paired or an earlier one, also where part of it went back.
        heads.pair_number is null and reconciled.has_money and reconciled.money_rank > 1
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
    left join reconciled as partners
        on heads.vima_transaction_id is not null and heads.payshack_transaction_id = partners.transaction_id

)
{% endmacro %}

{# CTEs of int_reconciliation__rows: `pairs`, by key and by reference. Reads `key_pairs` and `references_found`. #}
{% macro pairs_by_reference() %}
-- Pairs by key first; a pair by reference is a further pair of the Vima record's order.
reference_pairs as (

    select
        references_found.vima_match_space as match_space,
        references_found.payshack_match_space,
        references_found.vima_transaction_id,
        references_found.payshack_transaction_id,
        coalesce(max(key_pairs.pair_number), 0) + row_number() over (
            partition by references_found.vima_match_space
            order by references_found.vima_transaction_id asc
        ) as pair_number
    from references_found
    left join key_pairs
        on references_found.vima_match_space = key_pairs.match_space
    where not references_found.is_ambiguous
    group by
        references_found.vima_match_space,
        references_found.payshack_match_space,
        references_found.vima_transaction_id,
        references_found.payshack_transaction_id

),

pairs as not materialized (

    select
        match_space,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number
    from key_pairs
    union all
    select
        match_space,
        vima_transaction_id,
        payshack_transaction_id,
        pair_number
    from reference_pairs

)
{% endmacro %}
