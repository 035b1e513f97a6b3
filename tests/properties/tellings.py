"""SQL that tells the worlds to the raw log, and what the tests compare.

a    as it is, everything at once
b    as it is, in pieces and late under a moving clock, beside orders that the others do not have
c    mirrored, Vima's side told by PayShack and PayShack's by Vima, and shifted in time
"""

from datetime import timedelta

from tests.properties.worlds import PORTIONS, World

TABLES = (
    "create schema told authorization psp_transformer",
    """
    create table told.versions (
        world int, record int, side text, flow text, is_routed boolean, key text, created timestamptz, version int,
        class text, updated timestamptz, asked numeric, paid numeric, fee numeric, currency text, utr text, rrn text,
        portion int, is_extra boolean
    )
    """,
    "create table told.worlds (world int, is_tolerant boolean, shift interval)",
    """
    create table told.tellings as
    select * from (values ('a', false, false), ('b', true, false), ('c', false, true))
        as tellings (prefix, is_late, is_mirrored)
    """,
)

VERSIONS = (
    """
    create table told.all_versions as
    select versions.*, tellings.prefix, (side = 'a') <> is_mirrored as is_vima,
        prefix || lpad(world::text, 4, '0') as name, prefix || lpad(world::text, 4, '0') || '-' || record as record_id,
        prefix || lpad(world::text, 4, '0') || '-' || key as order_key,
        prefix || lpad(world::text, 4, '0') || '-' || utr as full_utr,
        prefix || lpad(world::text, 4, '0') || '-' || rrn as full_rrn,
        created + case when is_mirrored then shift else '0' end as created_at,
        updated + case when is_mirrored then shift else '0' end as updated_at,
        case when is_late then portion else (select max(portion) from told.versions) end as arrives
    from told.versions
    inner join told.worlds using (world)
    cross join told.tellings
    where not is_extra or (is_late and not is_tolerant)
    """,
    "analyze told.all_versions",
)

# Every telling of a world is a project; Vima learns the words that it lacks, so that sides can be exchanged.
RULES = (
    """
    insert into reference.project_routing (project, provider, is_reconciled, note)
    select distinct name, 'payshack', true, '' from told.all_versions
    union all
    select distinct name || 'x', 'other', false, '' from told.all_versions
    """,
    """
    insert into reference.client_projects (client_name, project)
    select 'Client ' || project, project from reference.project_routing where project ~ '^[abc][0-9]{4}x?$'
    """,
    """
    insert into reference.amount_tolerances (project, currency, tolerance_minor, daily_cap_minor)
    select distinct name, 'INR', 100, 250 from told.all_versions inner join told.worlds using (world)
    where worlds.is_tolerant
    """,
    """
    insert into reference.status_classes (source, flow, status_word, status_class)
    values ('vima', 'payin', 'refunded', 'R'), ('vima', 'payin', 'charged_back', 'C'),
        ('vima', 'payin', 'tampered', 'T'), ('vima', 'payout', 'refunded', 'R')
    """,
    "analyze reference.project_routing, reference.client_projects, reference.amount_tolerances",
)

LOG = (
    "record_id, content_hash, order_key, source_created_at, source_updated_at, payload, observed_at, load_mode,"
    " load_scope, load_page, _dlt_load_id"
)
ENDING = "%(now)s, 'window', 'told', 1, 'told' from told.all_versions where arrives = %(portion)s"

PORTION = (
    f"""
    insert into raw.vima_operations ({LOG})
    select record_id, version::text, order_key, created_at, updated_at, jsonb_build_object(
        'project', name || case when is_routed then '' else 'x' end,
        'create_params', jsonb_build_object(
            'method', case flow when 'payin' then 'payment.in' else 'payment.out' end,
            'params', jsonb_build_object('payment', jsonb_build_object(
                'amount', jsonb_build_object('value', asked, 'currency', currency)
            ))
        ),
        'current_status', case class
            when 'S' then 'success' when 'F' then 'fail' when 'P' then 'in_process' when 'W' then 'user_input_required'
            when 'R' then 'refunded' when 'C' then 'charged_back' when 'T' then 'tampered' else 'odd'
        end,
        'complete_amount', paid / 100, 'complete_currency', currency,
        'card_finish', jsonb_build_array(jsonb_build_object('charged_fee', fee / 100)),
        'payment_custom_data', jsonb_build_object('utr', full_utr, 'rrn', full_rrn)
    ), {ENDING} and is_vima
    """,
    f"""
    insert into raw.payshack_payins ({LOG})
    select record_id, version::text, order_key, created_at, updated_at, jsonb_build_object(
        'clientName', 'Client ' || name || case when is_routed then '' else 'x' end,
        'txnStatus', case class
            when 'S' then 'Success' when 'F' then 'Failed' when 'P' then 'Pending' when 'W' then 'Incomplete'
            when 'R' then 'Refunded' when 'C' then 'Cb_Refunded' when 'T' then 'Tampered' else 'odd'
        end,
        'amount', asked / 100, 'paidAmount', paid / 100, 'currency', currency, 'totalCommissionAmount', fee / 100,
        'utr', full_utr, 'rrn', full_rrn
    ), {ENDING} and not is_vima and flow = 'payin'
    """,
    f"""
    insert into raw.payshack_payouts ({LOG})
    select record_id, version::text, order_key, created_at, updated_at, jsonb_build_object(
        'clientName', 'Client ' || name || case when is_routed then '' else 'x' end,
        'status', case class
            when 'S' then 'SUCCESS' when 'F' then 'FAILED' when 'P' then 'PENDING' when 'W' then 'PENDING'
            when 'R' then 'RETURNED' else 'odd'
        end,
        'amount', coalesce(paid, asked) / 100, 'txnCharges', fee / 100, 'utr', full_utr
    ), {ENDING} and not is_vima and flow = 'payout'
    """,
    """
    insert into raw.source_watermarks as known (source, flow, watermark, updated_at)
    select source, flow, %(now)s - interval '40 minutes', %(now)s
    from unnest(array['vima', 'payshack']) as source cross join unnest(array['payin', 'payout']) as flow
    on conflict (source, flow) do update set watermark = excluded.watermark
    """,
)


def bare(leg: str) -> str:
    """A transaction id without source and telling: world and record."""
    return f"regexp_replace({leg}, '^(vima|payshack):(payin:|payout:)?.', '')"


def bare_all(legs: str) -> str:
    """The same of an array, in order."""
    return f"array(select {bare('leg')} from unnest({legs}) as leg order by 1)"  # noqa: S608 - columns of our own


ROWS = f"""
create view told.rows as
select reconciliation_id, left(project, 1) as prefix, substr(project, 2) as world, flow,
    case when match_state <> 'by_reference' then substr(order_key, 2) end as order_key, order_key ~ '-U' as is_extra,
    match_state, outcome, comparability, reasons, severity,
    exposure, exposure_side, vima_amount, payshack_amount, vima_status, payshack_status, currency, payshack_currency,
    vima_effect, payshack_effect, tolerated_difference, business_date, event_at,
    {bare("vima_transaction_id")} as vima, {bare("payshack_transaction_id")} as payshack,
    {bare_all("vima_attempt_ids")} as vima_attempts, {bare_all("payshack_attempt_ids")} as payshack_attempts
from marts.fct_reconciliation
"""  # noqa: S608 - columns of our own

# What is remembered of the late telling after each portion.
SEEN = """
create table told.seen_{portion} as
select mart.reconciliation_id, mart.flow, mart.project, mart.order_key, mart.comparability, mart.outcome,
    mart.match_state,
    mart.vima_transaction_id, mart.payshack_transaction_id, mart.vima_attempt_ids, mart.payshack_attempt_ids,
    (select string_agg(transaction_id || ':' || content_hash, ',' order by transaction_id)
        from intermediate.int_transactions__current
        where transaction_id = any(
            mart.vima_attempt_ids || mart.payshack_attempt_ids
            || array[mart.vima_transaction_id, mart.payshack_transaction_id]
        )) as hashes
from marts.fct_reconciliation as mart where left(project, 1) = 'b'
"""
SEEN_PORTIONS = range(PORTIONS)


def shift_of(world: World) -> timedelta:
    """Up to twenty days either way; by whole days where a day's tolerance ledger must hold the same rows."""
    days = world.number * 7 % 41 - 20
    return timedelta(days=days) if world.is_tolerant else timedelta(days=days, seconds=world.number * 431 % 86_400)
