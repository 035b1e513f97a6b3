{#
    Personal data in the marts: hashes that join and masks that a person recognises, never the value.

    Values are brought to one form before they are hashed, so that both sources' spellings of one phone meet.
#}

{# HMAC-like hash under the platform's own key; `key` names the one row of marts_pii.hash_key. Null stays null. #}
{% macro keyed_hash(value, key) -%}
    left(encode(sha256({{ key }}.outer_key || sha256({{ key }}.inner_key || convert_to({{ value }}, 'UTF8'))), 'hex'), 32)
{%- endmacro %}

{# Mail addresses and VPAs do not care for case. #}
{% macro normal_address(value) -%}
    lower(btrim({{ value }}))
{%- endmacro %}

{# The last ten digits: with and without country code, blanks and dashes it is one phone. #}
{% macro normal_phone(value) -%}
    nullif(right(regexp_replace({{ value }}, '\D', '', 'g'), 10), '')
{%- endmacro %}

{# p***@example.com: enough to recognise an address that one knows. #}
{% macro masked_address(value) -%}
    case
        when {{ value }} like '_%@_%' then left({{ value }}, 1) || '***' || substring({{ value }} from '@.*$')
        when {{ value }} is not null then '***'
    end
{%- endmacro %}

{# ***4321 of at least eight; of a shorter one nothing. #}
{% macro masked_number(value) -%}
    case
        when length({{ value }}) >= 8 then '***' || right({{ value }}, 4)
        when {{ value }} is not null then '***'
    end
{%- endmacro %}

{# T*** P***: initials. #}
{% macro masked_name(value) -%}
    regexp_replace({{ value }}, '(\S)\S*', '\1***', 'g')
{%- endmacro %}

{#
    Pre-hook: records that changed in `relation` are written anew, so what is known of them goes first. By an array, because
    only then the planner always takes the key; dbt's own deletion joins, and reads a narrow table whole.
#}
{% macro drop_records_changed_in(relation) %}
    {% if is_incremental() %}
    delete from {{ this }}
    where transaction_id = any(array(
        select changed.transaction_id
        from {{ relation }} as changed
        where changed.changed_xid >= {{ processed_xid() }}
    ))
    {% endif %}
{% endmacro %}
