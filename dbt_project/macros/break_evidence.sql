{#
    What a break stands on (R7): what its records say of states, amounts and references, and not when they said it.

        2:<hash of both legs>:<hash of every record of the row>

    The legs decide whether a decision still holds; every record of the row decides whether time alone has settled it,
    because a waiting record whose time is over may leave the pair to another one that has said as little.
    The number is that of the formula: raise it when the formula changes, and keep the one before as
    `former_evidence_hash`, so that what was closed under it is still recognised.
#}
{% macro evidence_hash(records) -%}
    '2:' || md5(jsonb_build_array({{ record_evidence('vima') }}, {{ record_evidence('payshack') }})::text)
        || ':' || coalesce({{ records }}, '')
{%- endmacro %}

{% macro record_evidence(record) -%}
    jsonb_build_array(
        {{ record }}.transaction_id,
        {{ record }}.status_class,
        {{ record }}.status_raw,
        trim_scale({{ record }}.amount),
        trim_scale({{ record }}.paid_amount),
        trim_scale({{ record }}.refunded_amount),
        {{ record }}.currency,
        {{ record }}.utr,
        {{ record }}.rrn,
        {{ record }}.provider_reference
    )
{%- endmacro %}

{# The first formula: legs only, without what was refunded and the provider's own reference. #}
{% macro former_evidence_hash() -%}
    md5(
        jsonb_build_array(
            {%- for record in ['vima', 'payshack'] %}
            {{ record }}.transaction_id,
            {{ record }}.status_class,
            {{ record }}.status_raw,
            trim_scale({{ record }}.amount),
            trim_scale({{ record }}.paid_amount),
            {{ record }}.currency,
            {{ record }}.utr,
            {{ record }}.rrn
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        )::text
    )
{%- endmacro %}

{# Whether the legs say what they said when `known` was noted, under whichever formula that was. #}
{% macro same_legs(known, now) -%}
    coalesce(
        {{ known }} in ({{ now }}.evidence_hash, {{ now }}.former_evidence_hash)
        or nullif(split_part({{ known }}, ':', 2), '') = split_part({{ now }}.evidence_hash, ':', 2),
        false
    )
{%- endmacro %}

{# Whether every record of the row says what it said when `known` was noted, legs or not. #}
{% macro same_records(known, now) -%}
    coalesce(nullif(split_part({{ known }}, ':', 3), '') = split_part({{ now }}.evidence_hash, ':', 3), false)
{%- endmacro %}

{# Whether `known` was noted under the formula before and is to be noted anew. A proposal that waits would fall by that. #}
{% macro is_noted_formerly(known, now) -%}
    coalesce({{ known }}.evidence_hash = {{ now }}.former_evidence_hash, false)
{%- endmacro %}

{# The waiting side's time is over and nobody has said anything new: that closes nothing (ADR 0027). #}
{% macro has_lapsed(known, now) -%}
    coalesce(
        {{ now }}.is_settled
        and (
            {{ same_legs(known ~ '.break_evidence_hash', now) }}
            or {{ same_records(known ~ '.break_evidence_hash', now) }}
        )
        and (
            coalesce({{ known }}.vima_status = 'pending' and {{ now }}.vima_status = 'expired', false)
            or coalesce({{ known }}.payshack_status = 'pending' and {{ now }}.payshack_status = 'expired', false)
            or {{ known }}.is_lapsed
        ),
        false
    )
{%- endmacro %}

{# Whether what a person has decided of a break can no longer be held against `now`: other evidence, or another verdict. #}
{% macro has_fallen(known, now) -%}
    (
        not {{ has_lapsed(known, now) }}
        and (
            not {{ same_legs(known ~ '.evidence_hash', now) }}
            or {{ now }}.is_settled
            or {{ now }}.is_gone
            or coalesce({{ now }}.is_break and {{ now }}.identity <> {{ known }}.identity, false)
        )
    )
{%- endmacro %}

{# Whether the other half of a forced match is not, or no longer, matched with it; see the joins of int_breaks__transitions. #}
{% macro has_lost_its_half(known) -%}
    coalesce(
        refuted.break_id is not null
        or other_halves.state <> 'force_matched'
        or other_halves.partner_break_id <> {{ known }}.break_id,
        false
    )
{%- endmacro %}

{# A join of int_breaks__evaluated to `verdicts`: a few look-ups by index per row. #}
{% macro join_records_of_the_row() -%}
    left join lateral (
        select md5(jsonb_agg({{ record_evidence('records') }} order by records.transaction_id)::text) as records_hash
        from records
        where
            records.transaction_id = any(
                array[verdicts.vima_transaction_id, verdicts.payshack_transaction_id]
                || verdicts.vima_attempt_ids
                || verdicts.payshack_attempt_ids
            )
    ) as records_of_the_row on true
{%- endmacro %}

{# Keys whose row says what it said, and whose break yet has news. #}
{% macro keys_touched_from_afar() -%}
    -- A pair by reference goes by the key of its other record.
    select states.reconciliation_key
    from records
    inner join states
        on records.transaction_id = states.payshack_transaction_id
    where records.changed_xid >= {{ processed_xid('int_breaks__transitions') }}
{%- endmacro %}
