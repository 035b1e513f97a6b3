{#
    The one clock: the instant given to this run, else the instant at which the run began. Every model of a run sees the
    same instant, whatever it costs to build the ones before.
#}
{% macro psp_now() -%}
    timestamptz '{{ var("now") or run_started_at.isoformat() }}'
{%- endmacro %}

{# Business date of an instant: where finance's day is cut. #}
{% macro business_date(instant) -%}
    ({{ instant }} at time zone '{{ var("business_timezone") }}')::date
{%- endmacro %}

{# The instant at which a day of the business zone is over. #}
{% macro end_of_day(day) -%}
    (({{ day }} + 1)::timestamp at time zone '{{ var("business_timezone") }}')
{%- endmacro %}

{# Seconds between the creation of two records; a record without a creation time is at no distance. #}
{% macro seconds_apart(one, other) -%}
    coalesce(abs(extract(epoch from {{ one }}.created_at - {{ other }}.created_at)), 0)
{%- endmacro %}

{#
    Exact instant from ISO 8601 text, or null where the text is none, so that one odd value cannot stop a build. Creation
    and change times were checked on loading; this guards the others. A text without a zone is UTC, the session's zone.
#}
{% macro exact_instant(text_value) -%}
    case
        when {{ text_value }} ~ (
            '^(?!0000)('
            '\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|\d{4}-(0[13-9]|1[0-2])-(29|30)|\d{4}-(0[13578]|1[02])-31'
            '|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29'
            ')[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[-+](0\d|1[0-5])(:?[0-5]\d)?)?$'
        )
            then ({{ text_value }})::timestamptz
    end
{%- endmacro %}
