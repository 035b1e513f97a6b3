"""Who may do what in the warehouse: each role is taken and tried. And no payer is in what psp_reader can read."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from pipelines.core.errors import DatabaseError
from pipelines.core.postgres import LOADER, PII_READER, READER, TRANSFORMER, connect, prepare_warehouse
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings

ANY_ROW = (
    "insert into raw.payshack_clients (record_id, content_hash, payload, observed_at, load_mode, load_scope, load_page,"
    " _dlt_load_id) values ('1', 'a', '{}', now(), 'feed', 'x', 1, 'x')"
)
MAY: dict[str, tuple[str, ...]] = {
    LOADER: (
        ANY_ROW,
        "select count(*) from raw.vima_operations",
        "insert into raw.source_cursors values ('x', 'y', '1', now(), 'x') on conflict do nothing",
        "update raw.source_watermarks set updated_at = now()",
    ),
    TRANSFORMER: (
        "select count(*) from raw.vima_operations",
        "create table marts.tried (a integer)",
        "create table intermediate.tried (a integer)",
        "create temporary table tried_too (a integer)",
        "select count(*) from marts_pii.hash_key",
        "delete from marts.fct_metrics_5m",
    ),
    READER: (
        "select count(*) from marts.fct_transactions",
        "select count(*) from marts.rpt_metrics_daily",
        "select marts.percentile_of_buckets(array[1], array[1, 2], 0.5)",
    ),
    PII_READER: (
        "select count(*) from marts_pii.pii_transaction_parties",
        "select count(*) from marts.fct_transaction_parties",
        "select marts_pii.keyed_hash('x')",
    ),
}
NOBODY_BUT_DBT = (
    "create table marts.tried (a integer)",
    "create table public.tried (a integer)",
    "delete from marts.fct_transactions",
    "update marts.fct_transactions set amount = 0",
    "truncate marts.fct_metrics_5m",
    "drop table marts.fct_metrics_5m",
)
READERS_NOT = (
    *NOBODY_BUT_DBT,
    ANY_ROW,
    "select 1 from raw.vima_operations",
    "select 1 from raw.quarantine",
    "select 1 from staging.stg_vima__operation_versions",
    "select 1 from intermediate.int_transactions__current",
    "select 1 from intermediate.int_transactions__parties",
    "select 1 from marts_pii.hash_key",
    "create temporary table tried (a integer)",
    "create schema tried",
)
MAY_NOT: dict[str, tuple[str, ...]] = {
    LOADER: (
        *NOBODY_BUT_DBT,
        "update raw.vima_operations set payload = '{}'",
        "delete from raw.vima_operations",
        "delete from raw.quarantine",
        "delete from raw.source_cursors",
        "truncate raw.vima_operations",
        "create table raw.tried (a integer)",
        "select 1 from marts.fct_transactions",
        "select 1 from staging.stg_vima__operations",
        "select 1 from marts_pii.pii_transaction_parties",
        "select marts_pii.keyed_hash('x')",
    ),
    TRANSFORMER: (
        ANY_ROW,
        "update raw.vima_operations set payload = '{}'",
        "delete from raw.vima_operations",
        "update raw.source_cursors set cursor_value = '0'",
        "create schema tried",
        "create table raw.tried (a integer)",
        "create table public.tried (a integer)",
        "update marts_pii.hash_key set made_at = now()",
        "delete from marts_pii.hash_key",
    ),
    READER: (
        *READERS_NOT,
        "select 1 from marts_pii.pii_transaction_parties",
        "select marts_pii.keyed_hash('x')",
    ),
    PII_READER: (*READERS_NOT, "delete from marts_pii.pii_transaction_parties"),
}
# Where the providers write what says who somebody is; read from their payloads, not through the models.
PERSONAL_PATHS = {
    "vima_operations": (
        "{contact}",
        "{user_id}",
        "{create_params,params,payment,payer,email}",
        "{create_params,params,payment,payer,phone}",
        "{create_params,params,payment,payer,person,last_name}",
        "{create_params,params,payment,payer,customer_account,id}",
    ),
    "payshack_payins": ("{payerVpa}", "{payerName}", "{payerPhone}"),
    "payshack_payouts": ("{beneName}", "{beneAccount}", "{beneEmail}", "{benePhone}"),
}
WORD = re.compile(r"[\w.+@-]+")
LONGEST_NAME = 3


@pytest.fixture
def loaded_settings(loaded_settings: Settings) -> Settings:
    """A loaded warehouse with its walls: PostgreSQL does not copy what is granted on a database along with it."""
    prepare_warehouse(database_url(loaded_settings))
    return loaded_settings


@pytest.mark.parametrize("role", MAY)
def test_each_role_does_its_work_and_nothing_else(role: str, loaded_settings: Settings) -> None:
    with connect(database_url(loaded_settings), role=role) as connection:
        for statement in MAY[role]:
            with connection.transaction(force_rollback=True):
                connection.execute(statement.encode())
        for statement in MAY_NOT[role]:
            assert _is_refused(connection, statement), f"{role} may: {statement}"


def test_only_members_come_in(loaded_settings: Settings) -> None:
    url = database_url(loaded_settings)
    name = f"visitor_{urlsplit(url).path.lstrip('/')}"
    with connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("create role {} login password 'sesame'").format(sql.Identifier(name)))
    parts = urlsplit(url)
    visitor = urlunsplit(parts._replace(netloc=f"{name}:sesame@{parts.hostname}:{parts.port}"))
    try:
        with pytest.raises(DatabaseError, match="not reachable"):
            connect(visitor)
        with connect(url, autocommit=True) as owner:
            owner.execute(sql.SQL("grant psp_reader to {}").format(sql.Identifier(name)))
        with connect(visitor) as connection:
            assert connection.execute("select count(*) > 0 from marts.fct_transactions").fetchone() == (True,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select 1 from raw.vima_operations")
    finally:
        with connect(url, autocommit=True) as owner:
            owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_nothing_that_readers_see_holds_a_person(loaded_settings: Settings) -> None:
    url = database_url(loaded_settings)
    with connect(url) as owner:
        people = set(_personal_values(owner))
        relations = owner.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'v', 'm', 'p') and n.nspname !~ '^(pg_|information_schema)'"
            " and has_schema_privilege('psp_reader', n.oid, 'usage')"
            " and has_table_privilege('psp_reader', c.oid, 'select')"
        ).fetchall()
        parties = owner.execute("select * from marts_pii.pii_transaction_parties").fetchall()
    assert len(people) > 2000
    schemas = {schema for schema, _ in relations}
    assert "marts" in schemas
    assert not schemas & {"raw", "staging", "intermediate", "marts_pii", "dagster"}
    assert len(relations) >= 25
    # The search finds what is there: the one relation that may hold them does.
    assert people.intersection(_leaves(parties))
    with connect(url, role=READER) as reader:
        for schema, relation in relations:
            found = people.intersection(_texts_of(reader, schema, relation))
            assert not found, f"{schema}.{relation} holds {len(found)} personal values, such as {sorted(found)[:3]}"


def test_a_hash_finds_the_payments_of_a_phone_and_says_nothing_without_the_key(loaded_settings: Settings) -> None:
    url = database_url(loaded_settings)
    with connect(url) as owner:
        row = owner.execute("select inner_key, outer_key from marts_pii.hash_key").fetchone()
        assert row is not None
        inner, outer = bytes(row[0]), bytes(row[1])
        ((phone, count),) = owner.execute(
            "select right(regexp_replace(phone, '[^0-9]', '', 'g'), 10) as digits, count(*)"
            " from marts_pii.pii_transaction_parties where phone is not null"
            " group by 1 having count(distinct source) = 2 order by 2 desc, 1 limit 1"
        ).fetchall()
    expected = hashlib.sha256(outer + hashlib.sha256(inner + phone.encode()).digest()).hexdigest()[:32]
    with connect(url, role=PII_READER) as support:
        found = support.execute(
            "select min(phone_key), count(*), count(distinct source), min(masked_phone)"
            " from marts.fct_transaction_parties where phone_key = marts_pii.keyed_hash(%s)",
            (phone,),
        ).fetchone()
    # Both sources, however each of them spells the number.
    assert found == (expected, count, 2, f"***{phone[-4:]}")
    assert len({inner, outer}) == 2
    assert min(len(inner), len(outer)) == 64


def test_preparing_again_keeps_the_key_and_the_walls(warehouse: str) -> None:
    with connect(warehouse) as owner:
        before = owner.execute("select inner_key, outer_key from marts_pii.hash_key").fetchall()
    prepare_warehouse(warehouse)
    with connect(warehouse) as owner:
        assert owner.execute("select inner_key, outer_key from marts_pii.hash_key").fetchall() == before
        row = owner.execute(
            "select has_database_privilege('psp_transformer', current_database(), 'create'),"
            " has_database_privilege('psp_reader', current_database(), 'temporary'),"
            " has_database_privilege('public', current_database(), 'connect'),"
            " has_database_privilege('psp_reader', current_database(), 'connect')"
        ).fetchone()
    assert row == (False, False, False, True)


def test_a_warehouse_of_an_earlier_release_gets_what_it_lacks(warehouse: str) -> None:
    with connect(warehouse) as owner:
        owner.execute("alter table raw.payshack_balance_snapshots drop column loaded_xid")
        owner.execute("alter table intermediate.left_behind drop column merchant, drop column moved_at")
        owner.execute("insert into raw.payshack_balance_snapshots values ('c', now(), 'v', 1)")
    prepare_warehouse(warehouse)
    with connect(warehouse, role=TRANSFORMER) as transformer:
        transformer.execute("insert into intermediate.left_behind (model, merchant, moved_at) values ('m', 'c', now())")
        row = transformer.execute("select loaded_xid > 0 from raw.payshack_balance_snapshots").fetchone()
    assert row == (True,)


def _is_refused(connection: psycopg.Connection, statement: str) -> bool:
    """For want of a right, and for nothing else."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def _personal_values(owner: psycopg.Connection) -> Iterator[str]:
    for table, paths in PERSONAL_PATHS.items():
        for path in paths:
            rows = owner.execute(
                sql.SQL("select distinct payload #>> %s from raw.{}").format(sql.Identifier(table)), (path,)
            )
            yield from (value for (value,) in rows if value)


def _texts_of(reader: psycopg.Connection, schema: str, relation: str) -> set[str]:
    rows = reader.execute(
        sql.SQL("select to_jsonb(found)::text from {} as found").format(sql.Identifier(schema, relation))
    )
    return _leaves(json.loads(text) for (text,) in rows)


def _leaves(rows: Any) -> set[str]:
    """Every text of rows of any shape, and every run of words in it."""
    found: set[str] = set()
    waiting = list(rows)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, str) and value not in found:
            found.add(value)
            words = WORD.findall(value)
            for length in range(1, LONGEST_NAME + 1):
                found.update(" ".join(words[start : start + length]) for start in range(len(words)))
    return found
