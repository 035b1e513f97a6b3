{# Name of a client of the directory; blank is none, as in what moved for it. #}
{% macro client_name(payload) -%}
    coalesce({{ blank_to_null(payload ~ " ->> 'name'") }}, {{ blank_to_null(payload ~ " ->> 'companyName'") }})
{%- endmacro %}

{#
    Periods between the last readings of two days, for the clients and days of the CTE `touched`; the first reading only
    opens. Clients of one name have one period, for what moved names no other. By index, one look each for closing and
    opening: there are as many days as the platform is old, and few are touched.
#}
{% macro balance_periods() %}
    select
        touched.merchant,
        touched.business_date,
        closing.balance as closing_balance,
        closing.snapshot_at as closing_at,
        opening.balance as opening_balance,
        opening.snapshot_at as opening_at,
        opening.business_date as opening_date
    from touched
    cross join lateral (
        select sum(balance) as balance, max(snapshot_at) as snapshot_at
        from {{ ref('int_balances__snapshots') }} as snapshots
        where snapshots.merchant = touched.merchant and snapshots.business_date = touched.business_date
        having count(*) > 0
    ) as closing
    cross join lateral (
        select business_date, sum(balance) as balance, max(snapshot_at) as snapshot_at
        from {{ ref('int_balances__snapshots') }} as snapshots
        where snapshots.merchant = touched.merchant and snapshots.business_date < touched.business_date
        group by business_date
        order by business_date desc
        limit 1
    ) as opening
{% endmacro %}

{#
    What PayShack says has moved in the periods of a CTE. Period by period through the index: `offset` keeps the
    planner, which cannot know how few there are, from reading the history instead.
#}
{% macro movements_of_periods(periods) %}
    select
        {{ periods }}.business_date as closing_date,
        found.*
    from {{ periods }}
    cross join lateral (
        select movements.merchant, movements.transaction_id, movements.flow, movements.kind, movements.amount
        from {{ ref('fct_movements') }} as movements
        where
            movements.merchant = {{ periods }}.merchant
            and movements.moved_at > {{ periods }}.opening_at
            and movements.moved_at <= {{ periods }}.closing_at
            and movements.source = 'payshack'
        offset 0
    ) as found
{% endmacro %}

{#
    Clients and days whose period holds a reading, a movement or a bank line that came, changed or went since `this`
    last looked. A reading closes its own day and opens the next one; an instant belongs to the first reading from it
    on.
#}
{% macro touched_balances() %}
    select merchant, business_date
    from {{ ref('int_balances__snapshots') }}
    where changed_xid >= {{ processed_xid() }}
    union
    select changed.merchant, following.business_date
    from {{ ref('int_balances__snapshots') }} as changed
    cross join lateral (
        select later.business_date
        from {{ ref('int_balances__snapshots') }} as later
        where later.merchant = changed.merchant and later.business_date > changed.business_date
        order by later.business_date
        limit 1
    ) as following
    where changed.changed_xid >= {{ processed_xid() }}
    union
    select moved.merchant, closing.business_date
    from (
        select merchant, moved_at
        from {{ ref('fct_movements') }}
        where changed_xid >= {{ processed_xid() }} and source = 'payshack'
        union
        select merchant, moved_at
        from intermediate.left_behind
        where model = 'fct_movements' and changed_xid >= {{ processed_xid() }}
    ) as moved
    cross join lateral (
        select snapshots.business_date
        from {{ ref('int_balances__snapshots') }} as snapshots
        where snapshots.merchant = moved.merchant and snapshots.snapshot_at >= moved.moved_at
        order by snapshots.snapshot_at
        limit 1
    ) as closing
    union
    select closing.merchant, closing.business_date
    from ({{ lines_near_touched_days() }}) as near_them
    inner join {{ ref('int_bank__lines') }} as banked on near_them.bank_line_id = banked.bank_line_id
    left join {{ ref('client_projects') }} as clients on banked.project = clients.project
    cross join lateral (
        select snapshots.merchant, snapshots.business_date
        from {{ ref('int_balances__snapshots') }} as snapshots
        where
            snapshots.merchant = coalesce(clients.client_name, banked.project)
            and snapshots.business_date >= banked.value_date
        order by snapshots.business_date
        limit 1
    ) as closing
{% endmacro %}

{% macro drop_touched_balances() %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched_balances() }}) as touched
    where report.merchant = touched.merchant and report.business_date = touched.business_date
    {% endif %}
{% endmacro %}
