{# Records of any source that carry a reference as UTR or as RRN, each found by its own index. #}
{% macro records_with_reference(value) %}
        select by_utr.reconciliation_key, by_utr.flow, by_utr.source
        from {{ ref('int_transactions__current') }} as by_utr
        where by_utr.utr = {{ value }}
        union all
        select by_rrn.reconciliation_key, by_rrn.flow, by_rrn.source
        from {{ ref('int_transactions__current') }} as by_rrn
        where by_rrn.rrn = {{ value }}
{% endmacro %}

{#
    CTE `name`: the keys of `beginnings` and of every order that references tie to them, however many steps away, since a pair
    by reference is judged with all that could be meant by it. Reads `transactions`; in today's data the first step ends it.
#}
{% macro orders_tied_by_reference(name, beginnings) -%}
{{ name }} as (

    select reconciliation_key from {{ beginnings }}
    union
    select other.reconciliation_key
    from {{ name }}
    -- The planner takes the keys of a recursion for many and would read all records: `offset` keeps it to
    -- the index of each key.
    cross join lateral (
        select records.flow, records.source, records.utr, records.rrn
        from transactions as records
        where records.reconciliation_key = {{ name }}.reconciliation_key
        offset 0
    ) as own
    cross join lateral unnest(array[own.utr, own.rrn]) as reference (value)
    cross join lateral ({{ records_with_reference('reference.value') }}) as other
    where other.flow = own.flow and other.source <> own.source

)
{%- endmacro %}
