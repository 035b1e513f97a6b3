{# A CTE of int_reconciliation__judged. Reads `compared`, `successes` and `parameters`. #}
{% macro records_that_share_a_reference() %}
-- One reference on two successful records of a source within the window: both are shown, neither is matched by it.
sharing_references as (

    {% for source, reference, own in [
        ('payshack', 'utr', 'utr'), ('payshack', 'rrn', 'rrn'), ('vima', 'utr', 'vima_utr'), ('vima', 'rrn', 'vima_rrn')
    ] %}
    select compared.reconciliation_id
    from compared
    cross join parameters
    inner join successes
        on
            compared.{{ own }} = successes.{{ reference }}
            and compared.flow = successes.flow
            and compared.{{ source }}_transaction_id <> successes.transaction_id
    where
        compared.{{ source }}_class = 'S'
        -- Said in words: a hash join compares every row without a reference with every other one.
        and compared.{{ own }} is not null
        and successes.{{ reference }} is not null
        and successes.source = '{{ source }}' and successes.placed_at
        between compared.{{ source }}_placed_at - parameters.reference_window
        and compared.{{ source }}_placed_at + parameters.reference_window
    {% if not loop.last %}union{% endif %}
    {% endfor %}

)
{% endmacro %}
