{# Whether every break is judged anew: a rebuild, or the first run. Unit tests override it, because it asks the database. #}
{% macro judges_every_break() %}
    {%- if not execute or flags.FULL_REFRESH -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(processed_xid('int_breaks__transitions') | int == 0) }}
{% endmacro %}

{#
    Which reviewed rules a verdict was made under: all seeds as they are in the database, in one short word. Unit tests
    override it, because it asks the database.
#}
{% macro rule_version() -%}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set seeds = run_query("select tablename from pg_tables where schemaname = 'reference' order by tablename") -%}
    {%- set asked -%}
        select left(md5(concat_ws(e'\n', ''
            {%- for seed in seeds.columns[0].values() %},
            '{{ seed }}', (
                select string_agg(line::text, e'\n' order by line::text collate "C")
                from reference.{{ adapter.quote(seed) }} as line
            )
            {%- endfor %}
        )), 12)
    {%- endset -%}
    {{ return(run_query(asked).columns[0].values()[0]) }}
{%- endmacro %}

{# A row of reconciliation that somebody must look at. #}
{% macro is_break(row) -%}
    coalesce(({{ row }}.comparability = 'comparable' and {{ row }}.outcome <> 'matched') or {{ row }}.severity is not null, false)
{%- endmacro %}

{# Whether two rows have a record of one side in common. #}
{% macro shares_a_leg(one, other) -%}
    (
        coalesce({{ one }}.vima_transaction_id = {{ other }}.vima_transaction_id, false)
        or coalesce({{ one }}.payshack_transaction_id = {{ other }}.payshack_transaction_id, false)
        or coalesce({{ one }}.bank_line_id = {{ other }}.bank_line_id, false)
    )
{%- endmacro %}

{# Whether a side that `before` lacked is there in `now`. #}
{% macro side_has_come(before, now) -%}
    (
        ({{ before }}.vima_transaction_id is null and {{ now }}.vima_transaction_id is not null)
        or ({{ before }}.payshack_transaction_id is null and {{ now }}.payshack_transaction_id is not null)
        or ({{ before }}.bank_line_id is null and {{ now }}.bank_line_id is not null)
    )
{%- endmacro %}

{# What was learnt since a break was last judged that made it end; `row` holds what is known of it and what is now. #}
{% macro closing_cause(row, rules) -%}
    case
        when
            {{ row }}.has_side_come
            or coalesce({{ row }}.known_vima_id <> {{ row }}.vima_transaction_id, false)
            or coalesce({{ row }}.known_payshack_id <> {{ row }}.payshack_transaction_id, false)
            then 'late_arrival'
        when
            {{ row }}.is_settled
            and coalesce({{ row }}.vima_effect, 0) = coalesce({{ row }}.payshack_effect, 0)
            and (
                'auto_reversed' = any({{ row }}.reasons)
                or (
                    'refunded' in ({{ row }}.vima_status, {{ row }}.payshack_status)
                    and ({{ row }}.vima_status is distinct from {{ row }}.payshack_status)
                )
            )
            then 'net_zero'
        when {{ row }}.is_gone then 'superseded'
        when
            ({{ row }}.known_vima_status is distinct from {{ row }}.vima_status)
            or ({{ row }}.known_payshack_status is distinct from {{ row }}.payshack_status)
            then 'status_caught_up'
        when
            ({{ row }}.known_vima_amount is distinct from {{ row }}.vima_amount)
            or ({{ row }}.known_payshack_amount is distinct from {{ row }}.payshack_amount)
            or ({{ row }}.known_currency is distinct from {{ row }}.currency)
            then 'amount_corrected'
        when ({{ row }}.known_rule_version is distinct from '{{ rules }}') then 'rule_changed'
        else 'context_changed'
    end
{%- endmacro %}

{# Seconds from the payment until what ended its break was read; null where no data did. #}
{% macro lateness_seconds(row) -%}
    case
        when {{ row }}.cause = 'late_arrival'
            then
                greatest(0, extract(epoch from greatest(
                    case
                        when ({{ row }}.known_vima_id is distinct from {{ row }}.vima_transaction_id)
                            then {{ row }}.vima_first_seen_at
                    end,
                    case
                        when ({{ row }}.known_payshack_id is distinct from {{ row }}.payshack_transaction_id)
                            then {{ row }}.payshack_first_seen_at
                    end,
                    case
                        when ({{ row }}.known_bank_line_id is distinct from {{ row }}.bank_line_id)
                            then {{ row }}.bank_first_seen_at
                    end
                ) - {{ row }}.event_at))::bigint
        when {{ row }}.cause in ('status_caught_up', 'amount_corrected', 'net_zero')
            then greatest(0, extract(epoch from {{ row }}.observed_at - {{ row }}.event_at))::bigint
    end
{%- endmacro %}

{#
    Post-hook of int_breaks__transitions, in its transaction: what it holds becomes events, or nothing does. Human actions
    wait meanwhile: its pre-hook has taken the chain before it read the states.
#}
{% macro take_the_chain() %} select breaks.begin_append() {% endmacro %}

{% macro append_transitions() %}
    insert into breaks.wanted_events (
        break_id, step, expected_event_number, at, actor, action, from_state, to_state, cause, evidence_hash,
        rule_version, lateness_seconds, linked_break_id, linked_event_number, evaluation
    )
    select
        break_id, step, expected_event_number, {{ psp_now() }}, 'system', action, from_state, to_state, cause,
        evidence_hash, rule_version, lateness_seconds, linked_break_id, linked_event_number, evaluation
    from {{ this }}
{% endmacro %}

{% macro note_evaluation() %}
    insert into breaks.clock (evaluated_at) values ({{ psp_now() }})
    on conflict (only_row) do update set evaluated_at = excluded.evaluated_at
{% endmacro %}

{# Days of which a person has decided a row, or the decision fell, since `this` last looked. #}
{% macro days_of_decisions() %}
    select
        decided_rows.business_date,
        decided_rows.project,
        decided_rows.flow
    from {{ ref('fct_reconciliation') }} as decided_rows
    where
        -- As an array, because only then the planner always takes the rows' index.
        decided_rows.reconciliation_id = any(array(
            select breaks.reconciliation_id
            from {{ ref('fct_breaks') }} as breaks
            where breaks.decision is not null and breaks.changed_xid >= {{ processed_xid() }}
        ))
{% endmacro %}

{#
    What a person has decided of a row, as a lateral join; null while nobody has, or where new data have undone it. One index
    look-up per row: breaks are few beside the rows of a day. `applies` says of which rows a decision holds.
#}
{% macro join_decision(row, breaks='fct_breaks', applies="comparability = 'comparable'") -%}
    left join lateral (
        select breaks.state
        from {{ ref(breaks) }} as breaks
        where
            breaks.reconciliation_id = {{ row }}.reconciliation_id
            and breaks.state in ('explained', 'force_matched', 'written_off', 'excluded_test')
            and {{ row }}.{{ applies }}
        order by breaks.last_event_at desc, breaks.break_id desc
        limit 1
    ) as decided on true
{%- endmacro %}
