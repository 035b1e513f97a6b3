{#
    Additive measures of a set of transactions, and the three rates that are computed from them, never averaged.

    A payment that was later refunded or charged back was authorised: it counts as a success at its time.
    Buckets of seconds to final state are bounded above by the number in their name; they add up, so percentiles can be
    taken over any period.
#}
{% macro final_seconds_buckets() %}
    {{ return([5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600]) }}
{% endmacro %}

{# Columns that add up, in their order; every rollup has these. #}
{% macro measure_columns() %}
    {% set columns = [
        'created_count', 'success_count', 'failed_count', 'pending_count', 'expired_count', 'refunded_count',
        'chargeback_count', 'unclear_count',
        'created_amount', 'success_amount', 'failed_amount', 'pending_amount', 'returned_amount', 'fee_amount',
    ] %}
    {% for bound in final_seconds_buckets() %}
        {% do columns.append('final_within_' ~ bound ~ 's_count') %}
    {% endfor %}
    {% do columns.append('final_later_count') %}
    {{ return(columns) }}
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

{# The same measures, added up from rows that have them. Sums of bigint are numeric: counts stay bigint. #}
{% macro summed_measures() %}
        {%- for column in measure_columns() %}
        sum({{ column }}){{ '::bigint' if column.endswith('_count') }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
{% endmacro %}

{# Names of the measures of `relation`, for a select list. #}
{% macro listed_measures(relation) %}
    {%- for column in measure_columns() %}
    {{ relation }}.{{ column }},
    {%- endfor %}
{% endmacro %}

{#
    Three rates with three denominators: of everything created; of what ended; of what ended without the user's silence.
    The denominators stand beside them, so that a sum of rows has its own rates.
#}
{% macro success_rates(relation=none) %}
    {%- set prefix = relation ~ '.' if relation else '' %}
    round({{ prefix }}success_count::numeric / nullif({{ prefix }}created_count, 0), 6) as conversion_rate,
    round({{ prefix }}success_count::numeric / nullif({{ prefix }}success_count + {{ prefix }}failed_count + {{ prefix }}expired_count, 0), 6)
        as payment_success_rate,
    round({{ prefix }}success_count::numeric / nullif({{ prefix }}success_count + {{ prefix }}failed_count, 0), 6) as actionable_success_rate
{%- endmacro %}

{# Seconds to the final state at which `share` of the payments had ended, out of the buckets of `relation`. #}
{% macro seconds_percentile(relation, share) -%}
    marts.percentile_of_buckets(
        array[{{ final_seconds_buckets() | join(', ') }}],
        array[
            {%- for bound in final_seconds_buckets() %}{{ relation }}.final_within_{{ bound }}s_count, {% endfor -%}
            {{ relation }}.final_later_count
        ],
        {{ share }}
    )
{%- endmacro %}

{# What a reader must know before believing a row: how far its source is complete, and how much of it may still move. #}
{% macro trust_columns(relation, trust, reconciliation) %}
    {{ trust }}.as_of,
    {{ trust }}.lag_seconds,
    round({{ relation }}.pending_count::numeric / nullif({{ relation }}.created_count, 0), 6) as pending_share,
    coalesce({{ reconciliation }}.value_at_risk, 0) as open_value_at_risk
{%- endmacro %}

{# Start of the five minutes, in which every day and hour of every clock is a whole number of buckets. #}
{% macro bucket_of(instant) -%}
    date_bin('5 minutes', {{ instant }}, timestamptz '2000-01-01 00:00Z')
{%- endmacro %}

{# Start of the hour that a clock shows at `instant`: UTC's, or the business time zone's (which may be half past in UTC). #}
{% macro hour_of(instant, clock) -%}
    date_bin('1 hour', {{ instant }}, timestamp '2000-01-01 00:00' at time zone '{{ 'UTC' if clock == 'utc' else var("business_timezone") }}')
{%- endmacro %}

{#
    Day that a clock shows at `instant`: utc; business (finance's day, midnight in the business time zone); settlement (the
    day ends at the cut, 21:00 by default, when UPI's last cycle closes: what follows belongs to the next day).
#}
{% macro day_of(instant, clock) -%}
    {%- if clock == 'utc' -%}
        ({{ instant }} at time zone 'UTC')::date
    {%- elif clock == 'business' -%}
        {{ business_date(instant) }}
    {%- else -%}
        (({{ instant }} at time zone '{{ var("business_timezone") }}') + interval '{{ 24 - (var("settlement_cut_hour") | int) }} hours')::date
    {%- endif -%}
{%- endmacro %}

{# Instant at which a clock's day begins. #}
{% macro start_of_day(day, clock) -%}
    {%- if clock == 'settlement' -%}
        (({{ day }}::timestamp - interval '{{ 24 - (var("settlement_cut_hour") | int) }} hours') at time zone '{{ var("business_timezone") }}')
    {%- else -%}
        ({{ day }}::timestamp at time zone '{{ 'UTC' if clock == 'utc' else var("business_timezone") }}')
    {%- endif -%}
{%- endmacro %}

{% macro amount_bands() %}
    {{ return([100, 500, 1000, 2000, 5000, 10000, 50000]) }}
{% endmacro %}

{# Band of an amount in its own currency: the number of its lower bounds, 0 is below the first. Null without an amount. #}
{% macro amount_band_of(amount) -%}
    width_bucket({{ amount }}, array[{{ amount_bands() | join(', ') }}]::numeric[])
{%- endmacro %}

{% macro amount_band_name(band) -%}
    case {{ band }}
        {%- set bands = amount_bands() %}
        when 0 then 'under {{ bands[0] }}'
        {%- for bound in bands[:-1] %}
        when {{ loop.index }} then '{{ bound }} to under {{ bands[loop.index] }}'
        {%- endfor %}
        when {{ bands | length }} then '{{ bands[-1] }} and more'
        else 'no amount'
    end
{%- endmacro %}

{#
    Ages at which the completion curve knows a payment, seconds; a bucket begins at its bound, the first one at 0. Fine
    where most payments end and where the TTLs lie, coarse up to 72 hours, after which a failure is hard.
#}
{% macro age_bounds() %}
    {{ return([
        10, 20, 30, 40, 50, 60, 75, 90, 105, 120, 135, 150, 165, 180, 200, 220, 240, 270, 300, 360, 420, 480, 540, 600,
        660, 720, 780, 840, 900, 1200, 1500, 1800, 2700, 3600, 5400, 7200, 10800, 21600, 43200, 86400, 172800, 259200,
    ]) }}
{% endmacro %}

{% macro age_bucket_of(seconds) -%}
    width_bucket(greatest({{ seconds }}, 0), array[{{ age_bounds() | join(', ') }}]::numeric[])
{%- endmacro %}

{# Number, beginning and end of every bucket of age; the last one has no end. #}
{% macro age_buckets() -%}
    {%- set bounds = [0] + age_bounds() -%}
    values
    {%- for bound in bounds %}
    ({{ loop.index0 }}, {{ bound }}, {{ bounds[loop.index] if not loop.last else 'null' }}){{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# `columns` of a relation, with a prefix to their names where it has one. #}
{% macro listed(relation, columns, prefix='') -%}
    {%- for column in columns %}{{ relation }}.{{ prefix }}{{ column }}{{ ', ' if not loop.last }}{% endfor -%}
{%- endmacro %}

{# Sums of both sides of a comparison, side by side. #}
{% macro compared_sums(columns) -%}
    {%- for side in ['current', 'base'] -%}
    {%- set last_side = loop.last -%}
    {%- for column in columns %}
        coalesce(sum({{ column }}) filter (where side = '{{ side }}'), 0){{ '::bigint' if column.endswith('_count') }} as {{ side }}_{{ column }}{{ ',' if not (loop.last and last_side) }}
    {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{% macro success_of_ended(relation, prefix='') -%}
    round(
        {{ relation }}.{{ prefix }}success_count::numeric
        / nullif({{ relation }}.{{ prefix }}success_count + {{ relation }}.{{ prefix }}failed_count + {{ relation }}.{{ prefix }}expired_count, 0),
        6
    )
{%- endmacro %}

{# The full five minutes of a span's last day, out of the CTE `buckets`. Of how short that is the planner knows nothing. #}
{% macro buckets_of_last_day(span) %}
    select *
    from buckets
    where
        buckets.source = {{ span }}.source
        and buckets.flow = {{ span }}.flow
        and buckets.bucket_at >= {{ span }}.last_day_begins_at
        and buckets.bucket_at < {{ span }}.last_bucket_at
    {{ asked_one_by_one() }}
{% endmacro %}
