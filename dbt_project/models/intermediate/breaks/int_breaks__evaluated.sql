{{
    config(
        materialized='table',
        unlogged=true,
        pre_hook="{{ note_pending('int_breaks__transitions') }}",
        post_hook='analyze {{ this }}',
        indexes=[{'columns': ['reconciliation_id'], 'unique': true}, {'columns': ['identity']}],
    )
}}

{% set everything = judges_every_break() %}

with

reconciliations as not materialized (

    select * from {{ ref('fct_reconciliation') }}

),

records as not materialized (

    select * from {{ ref('int_transactions__current') }}

),

states as not materialized (

    select * from {{ source('breaks', 'state') }}
    where reason_family is distinct from 'bank'

),

reasons as (

    select
        reconciliation_reasons.reason,
        reconciliation_reasons.family,
        coalesce(break_reasons.is_cause, true) as is_cause
    from {{ ref('reconciliation_reasons') }} as reconciliation_reasons
    left join {{ ref('break_reasons') }} as break_reasons
        on reconciliation_reasons.reason = break_reasons.reason

),

{% if not everything %}
touched as (

    select reconciliation_key
    from reconciliations
    where changed_xid >= {{ processed_xid('int_breaks__transitions') }}
    union
    -- A reference that has changed leaves the verdict as it was, and still reopens what was closed.
    select reconciliation_key
    from records
    where changed_xid >= {{ processed_xid('int_breaks__transitions') }}
    union
    {{ keys_touched_from_afar() }}
    union
    select reconciliation_key
    from intermediate.left_behind
    where reconciliation_key is not null and changed_xid >= {{ processed_xid('int_breaks__transitions') }}
    union
    -- What a person has done is held against the data at once.
    select reconciliation_key
    from states
    where changed_xid >= {{ processed_xid('int_breaks__transitions') }}

),

-- The other break of a forced match stands or falls with this one.
keys as (

    select reconciliation_key from touched
    union
    select partners.reconciliation_key
    from touched
    inner join states
        on touched.reconciliation_key = states.reconciliation_key
    inner join states as partners
        on states.partner_break_id = partners.break_id
    where states.state = 'force_matched'

),
{% endif %}

-- Rows that are a break, or that a break is about.
relevant as (

    select reconciliations.*
    from reconciliations
    {% if not everything %}
    inner join keys
        on reconciliations.reconciliation_key = keys.reconciliation_key
    {% endif %}
    where
        {{ is_break('reconciliations') }}
        or exists (
            select 1
            from states
            where states.reconciliation_id = reconciliations.reconciliation_id
        )

),

-- Breaks whose row is gone, with the row that holds their records now, if any does.
gone as (

    select distinct on (states.reconciliation_id)
        states.reconciliation_id,
        states.reconciliation_key,
        homes.reconciliation_id as home_id
    from states
    {% if not everything %}
    inner join keys
        on states.reconciliation_key = keys.reconciliation_key
    {% endif %}
    left join reconciliations as homes
        on
            states.vima_transaction_id = homes.vima_transaction_id
            or states.payshack_transaction_id = homes.payshack_transaction_id
    where
        states.state <> 'auto_resolved'
        and not exists (
            select 1
            from reconciliations
            where reconciliations.reconciliation_id = states.reconciliation_id
        )
    order by
        states.reconciliation_id asc,
        homes.vima_transaction_id is null or homes.payshack_transaction_id is null,
        homes.reconciliation_id asc

),

verdicts as (

    select
        relevant.*,
        relevant.reconciliation_id as judged_id,
        relevant.reconciliation_key as judged_key,
        false as is_gone
    from relevant
    union all
    select
        reconciliations.*,
        gone.reconciliation_id as judged_id,
        gone.reconciliation_key as judged_key,
        true as is_gone
    from gone
    left join reconciliations
        on gone.home_id = reconciliations.reconciliation_id

),

weighed as (

    select
        verdicts.*,
        not verdicts.is_gone and {{ is_break('verdicts') }} as is_break,
        -- Both sides agree, or nothing has to.
        not verdicts.is_gone
        and not {{ is_break('verdicts') }}
        and verdicts.comparability in ('comparable', 'informational') as is_settled,
        coalesce(causes.reason, verdicts.reasons[1]) as reason,
        coalesce(causes.family, 'status') as reason_family,
        vima.status_class as vima_class,
        payshack.status_class as payshack_class,
        vima.first_seen_at as vima_first_seen_at,
        payshack.first_seen_at as payshack_first_seen_at,
        greatest(vima.observed_at, payshack.observed_at) as observed_at,
        -- A claim runs from the version that first told of it, whatever has been said of it since.
        least(
            case when vima.status_class = 'C' then coalesce(vima.class_since, vima.first_seen_at) end,
            case when payshack.status_class = 'C' then coalesce(payshack.class_since, payshack.first_seen_at) end
        ) as chargeback_at,
        {{ evidence_hash('records_of_the_row.records_hash') }} as evidence_hash,
        {{ former_evidence_hash() }} as former_evidence_hash
    from verdicts
    left join records as vima
        on verdicts.vima_transaction_id = vima.transaction_id
    left join records as payshack
        on verdicts.payshack_transaction_id = payshack.transaction_id
    left join lateral (
        select
            reasons.reason,
            reasons.family
        from unnest(verdicts.reasons) with ordinality as listed (reason, place)
        inner join reasons
            on listed.reason = reasons.reason
        where reasons.is_cause
        order by listed.place asc
        limit 1
    ) as causes on true
    {{ join_records_of_the_row() }}

)

select
    weighed.judged_id as reconciliation_id,
    weighed.judged_key as reconciliation_key,
    weighed.is_gone,
    weighed.is_break,
    weighed.is_settled,
    -- Named after the order, or after the record where the row is not the order's first, or has no key.
    case
        when weighed.is_break
            then
                md5(
                    concat_ws(
                        '|',
                        weighed.flow,
                        weighed.project,
                        coalesce(weighed.currency, 'unknown'),
                        case
                            when
                                weighed.reconciliation_id
                                = md5(concat_ws('|', weighed.flow, weighed.project, weighed.order_key))
                                and weighed.order_key is not null
                                then 'order:' || weighed.order_key
                            else
                                'record:' || coalesce(weighed.vima_transaction_id, weighed.payshack_transaction_id)
                        end,
                        weighed.reason_family
                    )
                )
    end as identity,
    weighed.reasons,
    weighed.vima_transaction_id,
    weighed.payshack_transaction_id,
    weighed.vima_status,
    weighed.payshack_status,
    weighed.vima_amount,
    weighed.payshack_amount,
    weighed.currency,
    weighed.payshack_currency,
    weighed.vima_effect,
    weighed.payshack_effect,
    weighed.vima_first_seen_at,
    weighed.payshack_first_seen_at,
    weighed.observed_at,
    weighed.event_at,
    weighed.evidence_hash,
    weighed.former_evidence_hash,
    case
        when not weighed.is_gone
            then
                jsonb_build_object(
                    'reconciliation_id', weighed.reconciliation_id,
                    'reconciliation_key', weighed.reconciliation_key,
                    'flow', weighed.flow,
                    'project', weighed.project,
                    'currency', weighed.currency,
                    'order_key', weighed.order_key,
                    'outcome', weighed.outcome,
                    'comparability', weighed.comparability,
                    'reason', weighed.reason,
                    'reasons', weighed.reasons,
                    'reason_family', weighed.reason_family,
                    'severity', weighed.severity,
                    'exposure', trim_scale(weighed.exposure),
                    'exposure_side', weighed.exposure_side,
                    'vima_transaction_id', weighed.vima_transaction_id,
                    'payshack_transaction_id', weighed.payshack_transaction_id,
                    'vima_amount', trim_scale(weighed.vima_amount),
                    'payshack_amount', trim_scale(weighed.payshack_amount),
                    'vima_status', weighed.vima_status,
                    'payshack_status', weighed.payshack_status,
                    'business_date', weighed.business_date
                )
                || jsonb_build_object(
                    'event_at', to_char(weighed.event_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'chargeback_at',
                    to_char(weighed.chargeback_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'is_break', weighed.is_break,
                    'is_lapsed', false
                )
    end as evaluation
from weighed
