{#
    The bank's marts follow what changed, by settlement day of a project. Who changes something of a day notes it in
    intermediate.left_behind under its own name; those behind it write the noted days anew, as a whole.

        fct_bank_dues            days on which a movement changed, or that a statement now covers or makes due
        fct_bank_reference_fits  days that the lines to match can settle, and those of what they fit and fitted
        int_bank__batch_sets     days of every other set of a line with a set on a touched day
#}

{# Days that were noted since `model`, or the model itself, last looked. Nobody reads what it notes itself: that has no end. #}
{% macro touched_bank_days(notes=none, model=none) %}
    select distinct project, business_date as settlement_day
    from intermediate.left_behind
    where
        model in ('{{ (notes or ["fct_bank_dues", "fct_bank_reference_fits", "int_bank__batch_sets"]) | join("', '") }}')
        and changed_xid >= {{ processed_xid(model) }}
{% endmacro %}

{#
    Of rows with a project and a day, those of a CTE `days` whose column `day` may say so. As arrays, because the planner cannot
    know how few days there are, and would read the history; what joins them afterwards takes the pairs.
#}
{% macro of_days(row, days='touched', row_day='settlement_day', day='settlement_day') -%}
    {{ row }}.project = any(array(select listed.project from {{ days }} as listed))
    and {{ row }}.{{ row_day }} = any(array(select listed.{{ day }} from {{ days }} as listed))
{%- endmacro %}

{# Ends a subquery that is to be asked row by row, through its index, for the same reason. #}
{% macro asked_one_by_one() %} offset 0 {% endmacro %}

{#
    Post-hook of a table with references. Without the list of what is not sorted in yet: the look-ups come right behind the
    rows, and each of them would read that list.
#}
{% macro index_references() %}
    {%- if not is_incremental() -%}
    create index on {{ this }} using gin (reference_numbers) with (fastupdate = off)
    {%- endif -%}
{% endmacro %}

{# Hook: note the days that a query says. A shadow keeps no state. #}
{% macro note_bank_days(days) %}
    {% if not is_shadow() %}
    insert into intermediate.left_behind (model, project, business_date)
    select distinct '{{ this.identifier }}', days.project, days.settlement_day
    from ({{ days }}) as days
    {% endif %}
{% endmacro %}

{# The same in a run over what changed; a rebuild notes all days, by note_all_days_when_rebuilt. #}
{% macro note_changed_bank_days(days) %}
    {% if is_incremental() %} {{ note_bank_days(days) }} {% endif %}
{% endmacro %}

{# Post-hook of a table that was rebuilt: whatever stands on it is to be written anew. #}
{% macro note_all_days_when_rebuilt() %}
    {% if not is_incremental() %}
    {{ note_bank_days('select project, settlement_day from ' ~ this) }}
    {% endif %}
{% endmacro %}

{# Pre-hook: touched days are written anew as a whole. #}
{% macro drop_touched_bank_days(notes=none) %}
    {% if is_incremental() %}
    with touched as materialized ({{ touched_bank_days(notes) }})
    delete from {{ this }} as known
    using touched
    where
        known.project = touched.project
        and known.settlement_day = touched.settlement_day
        and {{ of_days('known') }}
    {% endif %}
{% endmacro %}

{# How far the bank's word reaches, per project; `known_before` asks for what `this` has seen already. #}
{% macro bank_coverage(known_before=false) %}
    select
        accounts.project,
        max(accounts.cycle_days) as cycle_days,
        bool_or(accounts.is_net_of_fees) as is_net_of_fees,
        min(statements.first_day) as first_day,
        max(statements.last_day) as last_day
    from {{ source('raw', 'bank_statements') }} as statements
    inner join {{ ref('bank_accounts') }} as accounts
        on statements.account = accounts.account
    {% if known_before %}
    where statements.loaded_xid < {{ processed_xid() }}
    {% endif %}
    group by accounts.project
{% endmacro %}

{# Days of fct_bank_dues on which a movement came, changed or went, and those that a new statement covers or makes due. #}
{% macro touched_due_days() %}
    select movements.project, movements.settlement_day
    from {{ ref('fct_movements') }} as movements
    inner join ({{ bank_coverage() }}) as covered
        on movements.project = covered.project
    where
        movements.changed_xid >= {{ processed_xid() }}
        and movements.source = 'payshack'
        and movements.flow = 'payin'
        and movements.settlement_day between covered.first_day - covered.cycle_days and covered.last_day
    union
    select dues.project, dues.settlement_day
    from {{ this }} as dues
    inner join ({{ changed_movement_records() }}) as changed
        on dues.transaction_id = changed.transaction_id
    union
    select covered.project, days.day::date as settlement_day
    from ({{ bank_coverage() }}) as covered
    cross join lateral generate_series(
        covered.first_day - covered.cycle_days, covered.last_day, interval '1 day'
    ) as days (day)
    left join ({{ bank_coverage(known_before=true) }}) as before
        on covered.project = before.project
    where
        before.project is null
        or (before.cycle_days, before.is_net_of_fees) <> (covered.cycle_days, covered.is_net_of_fees)
        or days.day::date + before.cycle_days < before.first_day
        or days.day::date > before.last_day
        or (days.day::date + before.cycle_days + 1 < before.last_day)
        <> (days.day::date + covered.cycle_days + 1 < covered.last_day)
{% endmacro %}

{#
    PayShack's movements of the settlement days of a CTE. A settlement day holds two business dates, whose index finds them;
    `offset` keeps the planner, which cannot know how few days there are, from reading the history instead.
#}
{% macro movements_of_settlement_days(days) %}
    select found.*
    from {{ days }}
    cross join lateral (
        select movements.*
        from {{ ref('fct_movements') }} as movements
        where
            movements.business_date between {{ days }}.settlement_day - 1 and {{ days }}.settlement_day
            and movements.source = 'payshack'
            and movements.settlement_day = {{ days }}.settlement_day
            and movements.project = {{ days }}.project
        offset 0
    ) as found
{% endmacro %}

{# Pre-hook of fct_bank_dues; the second one, drop_touched_bank_days, reads what this has noted. #}
{% macro note_touched_due_days() %}
    {{ note_changed_bank_days(touched_due_days()) }}
{% endmacro %}

{#
    Pre-hook and post-hook of fct_bank_reference_fits: whether a line is matched by reference decides which batches may hold
    what it settles, so all days within its reach are touched, and those of its fits before and after.
#}
{% macro note_days_of_lines_to_match() %}
    {% set scope = ref('int_bank__lines_to_match') %}
    {% set days %}
        select scope.project, days.day::date as settlement_day
        from {{ scope }} as scope
        cross join lateral generate_series(
            scope.value_date - scope.reach_days - 1, scope.value_date, interval '1 day'
        ) as days (day)
        union
        select scope.project, fits.settlement_day
        from {{ scope }} as scope
        inner join {{ this }} as fits
            on scope.bank_line_id = fits.bank_line_id
        where fits.bank_line_id = any(array(select ids.bank_line_id from {{ scope }} as ids))
    {% endset %}
    {{ note_changed_bank_days(days) }}
{% endmacro %}

{% macro drop_fits_of_lines_to_match() %}
    {% if is_incremental() %}
    delete from {{ this }}
    where bank_line_id = any(array(select scope.bank_line_id from {{ ref('int_bank__lines_to_match') }} as scope))
    {% endif %}
{% endmacro %}

{#
    Hook of int_bank__batch_sets, before and after it writes the touched days: one set more or less makes a line ambiguous or
    not, and so touches the days of its other sets.
#}
{% macro note_days_of_shared_lines() %}
    {% set days %}
        select others.project, others.settlement_day
        from ({{ touched_bank_days(['fct_bank_dues', 'fct_bank_reference_fits']) }}) as touched
        inner join {{ this }} as sets
            on touched.project = sets.project and touched.settlement_day = sets.settlement_day
        inner join {{ this }} as others
            on sets.bank_line_id = others.bank_line_id
    {% endset %}
    {{ note_changed_bank_days(days) }}
{% endmacro %}

{#
    Days on whose lines a touched day can have something to do with: a reference reaches from the day before the payment, whose
    settlement day may be the next one, to a week past the cycle.
#}
{% macro days_of_near_lines(touched) %}
    select distinct days.project, reached.reached_day::date as value_date
    from {{ touched }} as days
    inner join {{ ref('bank_accounts') }} as accounts
        on days.project = accounts.project
    cross join lateral generate_series(
        days.settlement_day - 2, days.settlement_day + accounts.cycle_days + 8, interval '1 day'
    ) as reached (reached_day)
{% endmacro %}

{% macro lines_near_touched_days(model=none) %}
    select near_lines.bank_line_id
    from ({{ days_of_near_lines('(' ~ touched_bank_days(model=model) ~ ')') }}) as near_days
    cross join lateral (
        select banked.bank_line_id
        from {{ ref('int_bank__lines') }} as banked
        where banked.project = near_days.project and banked.value_date = near_days.value_date
        {{ asked_one_by_one() }}
    ) as near_lines
    union
    select bank_line_id
    from {{ ref('int_bank__lines') }}
    where changed_xid >= {{ processed_xid(model) }}
{% endmacro %}

{% macro drop_lines_near_touched_days() %}
    {% if is_incremental() %}
    delete from {{ this }}
    where bank_line_id = any(array({{ lines_near_touched_days() }}))
    {% endif %}
{% endmacro %}

{# Days of the bridge: touched ones, those under which lines near them are or were counted, and those of decided items. #}
{% macro touched_bank_bridge_days() %}
    {{ touched_bank_days() }}
    union
    select banked.project, banked.value_date as settlement_day
    from {{ ref('int_bank__lines') }} as banked
    where
        banked.project is not null
        and banked.bank_line_id = any(array({{ lines_near_touched_days() }}))
    union
    select breaks.project, breaks.business_date as settlement_day
    from {{ ref('fct_bank_breaks') }} as breaks
    where breaks.decision is not null and breaks.changed_xid >= {{ processed_xid() }}
{% endmacro %}

{% macro drop_touched_bank_bridge_days() %}
    {% if is_incremental() %}
    with touched as materialized ({{ touched_bank_bridge_days() }})
    delete from {{ this }} as report
    using touched
    where
        report.project = touched.project
        and report.settlement_day = touched.settlement_day
        and {{ of_days('report') }}
    {% endif %}
{% endmacro %}

{#
    What a break of the bank is about, and what it is judged together with; both stand where a break of reconciliation has a row
    of fct_reconciliation and its key, and are never one of these.
#}
{% macro bank_item(kind, id) -%}
    '{{ kind }}:' || {{ id }}
{%- endmacro %}

{% macro bank_day_key(project, day) -%}
    'bank:' || {{ project }} || ':' || {{ day }}::text
{%- endmacro %}
