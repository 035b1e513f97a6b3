{#
    What went back of a payment (R8): the part that the source states, else all of it. The terms below are used where legs
    are compared; each reads the columns <side>_class, <side>_amount and <side>_refunded_amount.
#}

{# What a side says moved in the end: a success, or what is left of a refunded one. Below 0 after an over-refund. #}
{% macro money_effect(side) -%}
    coalesce(
            case compared.{{ side }}_class
                when 'S' then compared.{{ side }}_amount
                when 'R'
                    then
                        compared.{{ side }}_amount
                        - coalesce(compared.{{ side }}_refunded_amount, compared.{{ side }}_amount)
            end,
            0
        )
{%- endmacro %}

{# More went back than had come. #}
{% macro over_refund(row) -%}
    coalesce(
            ({{ row }}.vima_class = 'R' and {{ row }}.vima_refunded_amount > {{ row }}.vima_amount)
            or ({{ row }}.payshack_class = 'R' and {{ row }}.payshack_refunded_amount > {{ row }}.payshack_amount),
            false
        )
{%- endmacro %}

{# The columns that follow from refunds, beside those of `compared`. #}
{% macro money_effects() -%}
    {{ money_effect('vima') }} as vima_effect,
        {{ money_effect('payshack') }} as payshack_effect,
        {{ over_refund('compared') }} as is_over_refund
{%- endmacro %}

{# A refund leaves the two sides with different nets: states that agree on no money do not agree then. #}
{% macro nets_differ(row) -%}
    ('R' in ({{ row }}.vima_class, {{ row }}.payshack_class) and {{ row }}.vima_effect <> {{ row }}.payshack_effect)
{%- endmacro %}

{% macro refund_disagrees(row) -%}
    ({{ row }}.is_over_refund or {{ nets_differ(row) }})
{%- endmacro %}

{% macro refund_reason(row) -%}
    case
                    when {{ row }}.is_over_refund then 'over_refund'
                    when
                        {{ row }}.matrix_outcome in ('matched', 'missing_vima', 'missing_payshack') and {{ nets_differ(row) }}
                        then 'partial_refund'
                end
{%- endmacro %}
