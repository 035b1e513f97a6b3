{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=["{{ note_pending() }}", "{{ drop_touched_bank_days() }}"],
        post_hook=["{{ note_processed() }}", "{{ analyze_when_rebuilt() }}"],
        indexes=[
            {'columns': ['settlement_day', 'project']},
            {'columns': ['movement_id']},
        ],
    )
}}

with

{% if is_incremental() %}
touched as (

    {{ touched_bank_days() }}

),

{% endif %}
all_sets as not materialized (

    select * from {{ ref('int_bank__batch_sets') }}

),

-- Every set of a line that has one on a touched day; all of their days are touched.
numbered as (

    select
        all_sets.*,
        count(*) over (partition by all_sets.bank_line_id) as fit_count,
        row_number() over (
            partition by all_sets.bank_line_id
            order by all_sets.settlement_day asc, all_sets.movement_ids asc
        ) as fit_number
    from all_sets
    {% if is_incremental() %}
    where
        all_sets.bank_line_id = any(array(
            select touched_sets.bank_line_id
            from touched
            inner join all_sets as touched_sets
                on
                    touched.project = touched_sets.project
                    and touched.settlement_day = touched_sets.settlement_day
        ))
    {% endif %}

),

members as (

    select
        numbered.bank_line_id,
        numbered.project,
        numbered.settlement_day,
        numbered.fit_number,
        numbered.fit_count,
        ids.movement_id
    from numbered
    cross join lateral unnest(numbered.movement_ids) as ids (movement_id)

),

-- A settlement that two lines would take belongs to neither before somebody has looked.
claimed as (

    select
        movement_id,
        count(distinct bank_line_id) as line_count
    from members
    group by movement_id

)

select
    members.bank_line_id,
    members.movement_id,
    members.project,
    members.settlement_day,
    members.fit_number,
    bool_and(members.fit_count = 1 and claimed.line_count = 1) over (partition by members.bank_line_id) as is_only_fit
from members
inner join claimed
    on members.movement_id = claimed.movement_id
{% if is_incremental() %}
inner join touched
    on members.project = touched.project and members.settlement_day = touched.settlement_day
{% endif %}
