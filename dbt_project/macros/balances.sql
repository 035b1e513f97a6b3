{# Days of a client between two snapshots of its balance; the first snapshot only opens. #}
{% macro balance_periods() %}
    select
        merchant,
        business_date,
        balance as closing_balance,
        snapshot_at as closing_at,
        changed_xid,
        opening_balance,
        opening_at,
        opening_date
    from (
        select
            snapshots.*,
            lag(balance) over by_day as opening_balance,
            lag(snapshot_at) over by_day as opening_at,
            lag(business_date) over by_day as opening_date
        from {{ ref('int_balances__snapshots') }} as snapshots
        window by_day as (partition by merchant order by business_date)
    ) as snapshots
    where opening_at is not null
{% endmacro %}

{# Periods whose snapshots, movements or bank lines have changed since `this` last looked. #}
{% macro touched_balances() %}
    select periods.merchant, periods.business_date
    from ({{ balance_periods() }}) as periods
    where
        periods.changed_xid >= {{ processed_xid() }}
        or exists (
            select 1
            from {{ ref('int_balances__snapshots') }} as opening
            where
                opening.merchant = periods.merchant
                and opening.business_date = periods.opening_date
                and opening.changed_xid >= {{ processed_xid() }}
        )
        or exists (
            select 1
            from {{ ref('fct_movements') }} as movements
            where
                movements.changed_xid >= {{ processed_xid() }}
                and movements.merchant = periods.merchant
                and movements.moved_at > periods.opening_at
                and movements.moved_at <= periods.closing_at
        )
        or exists (
            select 1
            from raw.bank_lines as bank_lines
            {# What a line settles can change with any other line: where there are lines, the day is looked at again. #}
            where bank_lines.value_date > periods.opening_date and bank_lines.value_date <= periods.business_date
        )
{% endmacro %}

{% macro drop_touched_balances() %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched_balances() }}) as touched
    where report.merchant = touched.merchant and report.business_date = touched.business_date
    {% else %}
    select 1
    {% endif %}
{% endmacro %}
