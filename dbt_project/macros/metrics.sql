{#
    Additive measures of a set of transactions, and the three rates that are computed from them, never averaged.

    A payment that was later refunded or charged back was authorised: it counts as a success at its time.
    Buckets of seconds to final state are bounded above by the number in their name; they add up, so percentiles can be
    taken over any period.
#}
{% macro final_seconds_buckets() %}
    {{ return([5, 15, 30, 60, 120, 300, 600, 1800, 3600]) }}
{% endmacro %}

{% macro transaction_measures() %}
        count(*) as created_count,
        count(*) filter (where status in ('success', 'refunded', 'chargeback')) as success_count,
        count(*) filter (where status = 'failed') as failed_count,
        count(*) filter (where status = 'pending') as pending_count,
        count(*) filter (where status = 'expired') as expired_count,
        count(*) filter (where status = 'refunded') as refunded_count,
        count(*) filter (where status = 'chargeback') as chargeback_count,
        count(*) filter (where status in ('tampered', 'unmapped')) as unclear_count,
        coalesce(sum(amount), 0) as created_amount,
        coalesce(sum(amount) filter (where status in ('success', 'refunded', 'chargeback')), 0) as success_amount,
        coalesce(sum(amount) filter (where status = 'failed'), 0) as failed_amount,
        coalesce(sum(amount) filter (where status = 'pending'), 0) as pending_amount,
        coalesce(sum(amount) filter (where status in ('refunded', 'chargeback')), 0) as returned_amount,
        coalesce(sum(fee) filter (where status in ('success', 'refunded', 'chargeback')), 0) as fee_amount,
        {%- set buckets = final_seconds_buckets() %}
        {%- for bound in buckets %}
        count(*) filter (
            where seconds_to_final <= {{ bound }}{% if not loop.first %} and seconds_to_final > {{ buckets[loop.index0 - 1] }}{% endif %}
        ) as final_within_{{ bound }}s_count,
        {%- endfor %}
        count(*) filter (where seconds_to_final > {{ buckets[-1] }}) as final_later_count
{% endmacro %}

{% macro success_rates() %}
    round(success_count::numeric / nullif(created_count, 0), 6) as conversion_rate,
    round(success_count::numeric / nullif(success_count + failed_count + expired_count, 0), 6) as payment_success_rate,
    round(success_count::numeric / nullif(success_count + failed_count, 0), 6) as actionable_success_rate
{% endmacro %}
