{#
    Which parts of the metrics a run must write anew.

    fct_transaction_outcomes has a row per payment and logs, in its own transaction, the five-minute bucket of every payment
    that came, changed or went, old and new. Everything above reads that log and writes anew exactly the buckets, hours and
    days that hold one of them: cost follows what changed.
#}

{# Payments of which a version was committed, or whose current state moved, since `this` last looked. #}
{% macro changed_transaction_ids() %}
    select transaction_id
    from {{ ref('fct_transactions') }}
    where changed_xid >= {{ processed_xid() }}
    {%- for log_table, prefix in [
        ('vima_operations', 'vima:'), ('payshack_payins', 'payshack:payin:'), ('payshack_payouts', 'payshack:payout:')
    ] %}
    union
    select '{{ prefix }}' || record_id as transaction_id
    from {{ source('raw', log_table) }}
    where loaded_xid >= {{ processed_xid() }}
    {%- endfor %}
{% endmacro %}

{# Pre-hook of fct_transaction_outcomes: where the payments that are looked at again were counted until now. #}
{% macro log_buckets_left() %}
    {% if is_incremental() %}
    insert into intermediate.metrics_changes (source, bucket_at)
    select distinct known.source, known.bucket_at
    from ({{ changed_transaction_ids() }}) as changed
    inner join {{ this }} as known on changed.transaction_id = known.transaction_id
    {% else %}
    delete from intermediate.metrics_changes
    {% endif %}
{% endmacro %}

{# Post-hook of fct_transaction_outcomes: where they are counted now. The log is kept as long as any reader may lag. #}
{% macro log_buckets_entered() %}
    {% if is_incremental() %}
    with pruned as (
        delete from intermediate.metrics_changes where logged_at < now() - interval '30 days'
    )
    insert into intermediate.metrics_changes (source, bucket_at)
    select distinct source, bucket_at
    from {{ this }}
    where changed_xid = {{ current_xid() }}
    {% endif %}
{% endmacro %}

{% macro touched_buckets() %}
    select distinct source, bucket_at
    from intermediate.metrics_changes
    where changed_xid >= {{ processed_xid() }}
{% endmacro %}

{# Hours of the clock that hold a touched bucket. #}
{% macro touched_hours(clock) %}
    select distinct source, {{ hour_of('bucket_at', clock) }} as hour_at
    from intermediate.metrics_changes
    where changed_xid >= {{ processed_xid() }}
{% endmacro %}

{# Days of the clock that hold a touched bucket. #}
{% macro touched_days_of(clock) %}
    select distinct source, {{ day_of('bucket_at', clock) }} as day
    from intermediate.metrics_changes
    where changed_xid >= {{ processed_xid() }}
{% endmacro %}

{# Pre-hook: what is written anew goes first, in the same transaction. `touched` selects source and the column `key`. #}
{% macro drop_touched(touched, key, column, clock=none) %}
    {% if is_incremental() %}
    delete from {{ this }} as report
    using ({{ touched }}) as touched
    where
        report.{{ column }} = touched.{{ key }}
        and report.source = touched.source
        {% if clock %} and report.clock = '{{ clock }}' {% endif %}
    {% endif %}
{% endmacro %}

{# Pre-hook of a small table that is written anew at every run, in the same transaction. #}
{% macro empty_in_place() %}
    {% if is_incremental() %}
    delete from {{ this }}
    {% endif %}
{% endmacro %}
