{{
    config(
        materialized='table',
        unlogged=true,
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['reconciliation_id'], 'unique': true}, {'columns': ['identity']}],
    )
}}

-- After it, because it notes for both from where on the transitions have not looked: {{ ref('int_breaks__evaluated') }}
-- depends_on: {{ ref('int_bank__lines') }}, {{ ref('bank_accounts') }}
{% set everything = judges_every_break() %}

with

settlements as not materialized (

    select * from {{ ref('fct_bank_settlements') }}

),

lines as not materialized (

    select * from {{ ref('fct_bank_lines') }}

),

movements as not materialized (

    select * from {{ ref('fct_movements') }}

),

records as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

-- The item's own ids; only a movement has a movement_id.
states as not materialized (

    select
        state.reconciliation_id,
        state.reconciliation_key,
        state.changed_xid,
        state.evaluation ->> 'movement_id' as movement_id,
        state.evaluation ->> 'bank_line_id' as bank_line_id
    from {{ source('breaks', 'state') }} as state
    where state.reason_family = 'bank'

),

{% if not everything %}
touched_days as (

    {{ touched_bank_days(model='int_breaks__transitions') }}

),

touched_states as (

    select
        movement_id,
        bank_line_id
    from states
    -- What a person has done is held against the data at once.
    where changed_xid >= {{ processed_xid('int_breaks__transitions') }}
    union
    select
        states.movement_id,
        states.bank_line_id
    from touched_days
    inner join states
        on states.reconciliation_key = {{ bank_day_key('touched_days.project', 'touched_days.settlement_day') }}

),
{% endif %}

-- Items that are missing, or that a break is about.
movement_ids as (

    {% if everything %}
    select movement_id from settlements
    where outcome = 'missing_bank'
    union
    select movement_id from states
    where movement_id is not null
    {% else %}
    select settlements.movement_id
    from touched_days
    inner join settlements
        on touched_days.project = settlements.project and touched_days.settlement_day = settlements.settlement_day
    where
        settlements.outcome = 'missing_bank'
        and {{ of_days('settlements', 'touched_days') }}
    union
    select movement_id from touched_states
    where movement_id is not null
    {% endif %}

),

line_ids as (

    {% if everything %}
    select bank_line_id from lines
    where outcome = 'missing_provider'
    union
    select bank_line_id from states
    where movement_id is null
    {% else %}
    {{ lines_near_touched_days('int_breaks__transitions') }}
    union
    select bank_line_id from touched_states
    where movement_id is null
    {% endif %}

),

judged_movements as (

    select
        {{ bank_item('movement', 'ids.movement_id') }} as reconciliation_id,
        {{ bank_day_key('settlements.project', 'settlements.settlement_day') }} as reconciliation_key,
        settlements.movement_id is null as is_gone,
        coalesce(settlements.outcome = 'missing_bank', false) as is_break,
        coalesce(settlements.outcome = 'matched', false) as is_settled,
        settlements.outcome as bank_outcome,
        'missing_bank' as reason,
        'high' as severity,
        settlements.project,
        settlements.currency,
        movements.order_key,
        ids.movement_id,
        settlements.bank_line_id,
        settlements.transaction_id as payshack_transaction_id,
        settlements.amount as payshack_amount,
        abs(settlements.amount) as unsigned_amount,
        -- What the bank has not taken back is the provider's loss.
        case when settlements.amount > 0 then 'platform' end as exposure_side,
        -- The day of the bridge on which it counts.
        settlements.settlement_day as business_date,
        movements.moved_at as event_at,
        records.first_seen_at as payshack_first_seen_at,
        banked.observed_at as bank_first_seen_at,
        jsonb_build_array(
            ids.movement_id,
            settlements.settlement_day,
            settlements.currency,
            trim_scale(settlements.amount),
            trim_scale(settlements.net_amount),
            records.utr,
            records.rrn,
            settlements.bank_line_id
        ) as evidence
    from movement_ids as ids
    left join settlements
        on ids.movement_id = settlements.movement_id
    left join movements
        on settlements.transaction_id = movements.transaction_id and settlements.movement_id = movements.movement_id
    left join records
        on settlements.transaction_id = records.transaction_id
    left join lines as banked
        on settlements.bank_line_id = banked.bank_line_id

),

judged_lines as (

    select
        {{ bank_item('bank_line', 'found_lines.bank_line_id') }} as reconciliation_id,
        {{ bank_day_key('found_lines.project', 'found_lines.value_date') }} as reconciliation_key,
        false as is_gone,
        -- An account of no project is compared with nothing.
        found_lines.outcome = 'missing_provider' and found_lines.project is not null as is_break,
        found_lines.outcome = 'matched' as is_settled,
        found_lines.outcome as bank_outcome,
        'missing_provider' as reason,
        'medium' as severity,
        found_lines.project,
        found_lines.currency,
        null as order_key,
        null as movement_id,
        found_lines.bank_line_id,
        settled.payshack_transaction_id,
        null::numeric as payshack_amount,
        abs(found_lines.amount) as unsigned_amount,
        null as exposure_side,
        found_lines.value_date as business_date,
        -- The bank gives no instant.
        {{ end_of_day('found_lines.value_date - 1') }} as event_at,
        settled.first_seen_at as payshack_first_seen_at,
        found_lines.observed_at as bank_first_seen_at,
        jsonb_build_array(
            found_lines.bank_line_id,
            found_lines.value_date,
            found_lines.currency,
            trim_scale(found_lines.amount),
            found_lines.reference,
            settled.movement_ids
        ) as evidence
    from line_ids
    inner join lateral (
        select found.*
        from {{ ref('fct_bank_lines') }} as found
        where found.bank_line_id = line_ids.bank_line_id
        {{ asked_one_by_one() }}
    ) as found_lines on true
    -- What it settles, through the index of its settlement day.
    left join lateral (
        select
            min(settlements.transaction_id) as payshack_transaction_id,
            max(records.first_seen_at) as first_seen_at,
            jsonb_agg(settlements.movement_id order by settlements.movement_id asc) as movement_ids
        from settlements
        inner join records
            on settlements.transaction_id = records.transaction_id
        where
            settlements.settlement_day = found_lines.settlement_day
            and settlements.outcome = 'matched'
            and settlements.bank_line_id = found_lines.bank_line_id
    ) as settled on true
    where
        (found_lines.outcome = 'missing_provider' and found_lines.project is not null)
        or exists (
            select 1
            from states
            where states.reconciliation_id = {{ bank_item('bank_line', 'found_lines.bank_line_id') }}
        )

),

judged as (

    select * from judged_movements
    union all
    select * from judged_lines

)

-- Column for column what int_breaks__evaluated says, and the bank's own at the end.
select
    reconciliation_id,
    reconciliation_key,
    is_gone,
    is_break,
    is_settled,
    case
        when is_break then md5(concat_ws('|', 'payin', project, currency, reconciliation_id, 'bank'))
    end as identity,
    array[reason] as reasons,
    null::text as vima_transaction_id,
    payshack_transaction_id,
    null::text as vima_status,
    null::text as payshack_status,
    null::numeric as vima_amount,
    payshack_amount,
    currency,
    null::text as payshack_currency,
    null::numeric as vima_effect,
    null::numeric as payshack_effect,
    null::timestamptz as vima_first_seen_at,
    payshack_first_seen_at,
    bank_first_seen_at as observed_at,
    event_at,
    md5(evidence::text) as evidence_hash,
    null::text as former_evidence_hash,
    case
        when not is_gone
            then
                jsonb_build_object(
                    'reconciliation_id', reconciliation_id,
                    'reconciliation_key', reconciliation_key,
                    'flow', 'payin',
                    'project', project,
                    'currency', currency,
                    'order_key', order_key,
                    'bank_outcome', bank_outcome,
                    'reason', reason,
                    'reasons', array[reason],
                    'reason_family', 'bank',
                    'severity', severity,
                    'exposure', case when is_break then trim_scale(unsigned_amount) else 0 end,
                    'exposure_side', exposure_side,
                    'movement_id', movement_id,
                    'bank_line_id', bank_line_id,
                    'payshack_transaction_id', payshack_transaction_id,
                    'payshack_amount', trim_scale(payshack_amount),
                    'business_date', business_date,
                    'event_at', to_char(event_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'is_break', is_break,
                    'is_lapsed', false
                )
    end as evaluation,
    bank_line_id,
    bank_first_seen_at
from judged
