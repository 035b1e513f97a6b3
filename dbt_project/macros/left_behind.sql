{#
    What a changed record leaves behind: the match key, reference, project, day or instant under which it was counted before.
    Kept in a table, because the models that must look there again may fail or run later.
#}

{# On run start: a month is far beyond any time that a reader may lag. #}
{% macro prune_left_behind() %}
    delete from intermediate.left_behind where logged_at < now() - interval '30 days'
{% endmacro %}

{# Pre-hook of int_transactions__current. #}
{% macro log_left_behind() %}
    {% if is_incremental() %}
    insert into intermediate.left_behind (model, reconciliation_key, utr, rrn, source, project, flow, business_date)
    select '{{ this.identifier }}', known.reconciliation_key, known.utr, known.rrn, known.source, known.project, known.flow, known.business_date
    from {{ this }} as known
    inner join {{ this.schema }}.int_transactions__refreshed as refreshed on known.transaction_id = refreshed.transaction_id
    where
        (known.reconciliation_key, known.utr, known.rrn, known.project, known.flow, known.business_date)
        is distinct from
        (refreshed.reconciliation_key, refreshed.utr, refreshed.rrn, refreshed.project, refreshed.flow, refreshed.business_date)
    {% endif %}
{% endmacro %}

{# Pre-hooks of fct_reconciliation: days and rows of the keys judged in this run that no longer are what they were. #}
{% macro log_reconciliation_left_behind() %}
    {% if is_incremental() %}
    insert into intermediate.left_behind (model, reconciliation_key, project, flow, business_date)
    select distinct '{{ this.identifier }}', known.reconciliation_key, known.project, known.flow, known.business_date
    from intermediate.int_reconciliation__keys_changed as keys
    inner join {{ this }} as known on keys.reconciliation_key = known.reconciliation_key
    left join intermediate.int_reconciliation__compared as judged on known.reconciliation_id = judged.reconciliation_id
    where
        (known.project, known.flow, known.business_date)
        is distinct from
        (judged.project, judged.flow, judged.business_date)
    {% endif %}
{% endmacro %}

{% macro drop_superseded_reconciliations() %}
    {% if is_incremental() %}
    delete from {{ this }} as known
    using intermediate.int_reconciliation__keys_changed as keys
    where
        keys.reconciliation_key = known.reconciliation_key
        and not exists (
            select 1
            from intermediate.int_reconciliation__compared as judged
            where judged.reconciliation_id = known.reconciliation_id
        )
    {% endif %}
{% endmacro %}

{#
    Pre-hook of fct_movements, before it drops the movements of changed records: a record may have none any more, or
    have them at another time or client. Only balances go by them, so only PayShack's are noted.
#}
{% macro log_movements_left_behind() %}
    {% if is_incremental() %}
    insert into intermediate.left_behind (model, merchant, moved_at)
    select distinct '{{ this.identifier }}', known.merchant, known.moved_at
    from {{ this }} as known
    where
        known.transaction_id = any(array({{ changed_movement_records() }}))
        and known.source = 'payshack'
    {% endif %}
{% endmacro %}
