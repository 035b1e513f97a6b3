{#
    CTEs of int_reconciliation__judged; `sharing_references` is what they hand on: the records of this batch that are one of
    several successes of a source under one reference, within the window. Reads `compared`, `transactions` and `parameters`.

    The values on more than one record are few, and found by counting: to join all records with all costs ten times that.
#}
{% macro records_that_share_a_reference(incremental) %}
{% if incremental -%}
batch_references as (

    select distinct reference.value
    from compared
    cross join lateral unnest(array[
        case when compared.vima_class = 'S' then compared.vima_utr end,
        case when compared.vima_class = 'S' then compared.vima_rrn end,
        case when compared.payshack_class = 'S' then compared.utr end,
        case when compared.payshack_class = 'S' then compared.rrn end
    ]) as reference (value)
    where reference.value is not null

),

{% endif -%}
carriers as (

    {% for reference, other in [('utr', none), ('rrn', 'utr')] -%}
    select
        transactions.transaction_id,
        transactions.source,
        transactions.flow,
        transactions.{{ reference }} as value,
        coalesce(transactions.created_at, transactions.first_seen_at) as placed_at
    from transactions
    {%- if incremental %}
    inner join batch_references
        on transactions.{{ reference }} = batch_references.value
    {%- endif %}
    where
        transactions.status_class = 'S'
        and transactions.{{ reference }} is not null
        {%- if other %}
        and transactions.{{ reference }} is distinct from transactions.{{ other }}
        {%- endif %}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor %}
),

repeated as (

    select
        source,
        flow,
        value,
        array_agg(transaction_id) as transaction_ids,
        array_agg(placed_at) as instants
    from carriers
    group by source, flow, value
    having count(*) > 1

),

shared as (

    select
        repeated.source,
        repeated.flow,
        repeated.value,
        record.transaction_id,
        record.placed_at
    from repeated
    cross join lateral unnest(repeated.transaction_ids, repeated.instants) as record (transaction_id, placed_at)

),

-- One reference on two successful records of a source within the window: both are shown, neither is matched by it.
sharing_references as (

    select distinct own.transaction_id
    from shared as own
    cross join parameters
    inner join shared as other
        on
            own.source = other.source
            and own.flow = other.flow
            and own.value = other.value
            and own.transaction_id <> other.transaction_id
    where
        other.placed_at
        between own.placed_at - parameters.reference_window and own.placed_at + parameters.reference_window

)
{% endmacro %}
