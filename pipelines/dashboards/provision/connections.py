"""A database connection per audience: its login role in PostgreSQL, the connection in Metabase, the sync, the field
ids.

The roles are members of psp_reader, so they read marts and nothing else; each can be given less than the others.
"""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipelines.core.errors import DashboardError
from pipelines.core.postgres import READER, connect
from pipelines.core.runtime import database_url
from pipelines.dashboards.deploy import Connection
from pipelines.dashboards.entities import Field
from pipelines.dashboards.provision.sign_in import Kept
from pipelines.dashboards.provision.work import Work, differing

SCHEMAS = "marts"
SYNC_SECONDS = 300.0
POLL_SECONDS = 0.5


def connections(work: Work, kept: Kept) -> None:
    """Roles, connections and field ids. Raises DashboardError when the sync does not bring the fields that are
    needed."""
    found = {item["name"]: item for item in _listed(work.client.get("/api/database"))}
    for name, wanted in work.deploy.connections.items():
        renewed = _role(work, kept, wanted)
        password = kept.password(wanted.role) or "made at the first apply"
        body = _body(work, name, wanted, password)
        if name not in found:
            work.databases[name] = work.create("connection", name, "/api/database", body)
            continue
        work.databases[name] = int(found[name]["id"])
        details = found[name].get("details") or {}
        # Metabase never shows the password: it is sent when it is new.
        changed = differing({key: value for key, value in body["details"].items() if key != "password"}, details)
        if changed or renewed:
            body = {key: body[key] for key in ("name", "engine", "details", "auto_run_queries")}
            work.update("connection", name, f"/api/database/{found[name]['id']}", body, changed or ("password",))
    for name in work.deploy.connections:
        _fields(work, name)


def _listed(answer: Any) -> list[dict[str, Any]]:
    """Lists come bare or under `data`."""
    found = answer.get("data") if isinstance(answer, dict) else answer
    return list(found or [])


def _body(work: Work, name: str, wanted: Connection, password: str) -> dict[str, Any]:
    parts = conninfo_to_dict(database_url(work.settings))
    details = {
        "host": work.settings.metabase_database_host or str(parts.get("host") or "127.0.0.1"),
        "port": int(work.settings.metabase_database_port or parts.get("port") or 5432),
        "dbname": str(parts.get("dbname") or "psp"),
        "user": wanted.role,
        "password": password,
        "ssl": str(parts.get("sslmode") or "disable") not in ("disable", "allow", "prefer"),
        "schema-filters-type": "inclusion",
        "schema-filters-patterns": SCHEMAS,
    }
    if details["ssl"]:
        details["ssl-mode"] = str(parts["sslmode"])
    return {
        "name": name,
        "engine": "postgres",
        "is_full_sync": True,
        "is_on_demand": False,
        "auto_run_queries": True,
        "details": details,
    }


def _role(work: Work, kept: Kept, wanted: Connection) -> bool:
    """Make the login role, or mend its password when only the database has forgotten it; whether the password is
    new."""
    url = database_url(work.settings)
    with connect(url, application="psp-dashboards") as connection:
        row = connection.execute("select rolcanlogin from pg_roles where rolname = %s", (wanted.role,)).fetchone()
    known = kept.password(wanted.role)
    if row is not None and row[0] and known is not None and _can_login(url, wanted.role, known):
        return False
    work.note("create" if row is None else "update", "database role", wanted.role)
    if work.dry:
        return False
    password = known or secrets.token_urlsafe(24)
    role = sql.Identifier(wanted.role)
    with connect(url, application="psp-dashboards") as connection:
        try:
            connection.execute("select pg_advisory_xact_lock(hashtext('psp_metabase_roles'))")
            if row is None:
                connection.execute(sql.SQL("create role {}").format(role))
            for statement in (
                sql.SQL("alter role {} with login inherit nocreatedb nocreaterole password {}").format(
                    role, sql.Literal(password)
                ),
                sql.SQL("grant {} to {}").format(sql.Identifier(READER), role),
                sql.SQL("alter role {} set default_transaction_read_only = on").format(role),
                sql.SQL("alter role {} set statement_timeout = {}").format(
                    role, sql.Literal(f"{wanted.statement_seconds}s")
                ),
            ):
                connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise DashboardError(
                f"The role {wanted.role} cannot be made: {error.diag.message_primary}.",
                fix="use a database user with CREATEROLE, or let an administrator apply once",
            ) from None
    kept.keep_password(wanted.role, password)
    return True


def _can_login(url: str, role: str, password: str) -> bool:
    parts: dict[str, Any] = {**conninfo_to_dict(url), "user": role, "password": password, "connect_timeout": 10}
    try:
        psycopg.connect(make_conninfo(**parts)).close()
    except psycopg.OperationalError:
        return False
    return True


def _fields(work: Work, name: str) -> None:
    """Ids of all fields that filters of this connection name; asks for a sync when some are not known yet."""
    needed = {
        tag.field
        for card in work.content.cards.values()
        for tag in card.tags.values()
        if tag.field is not None and tag.field.database == name
    }
    database = work.databases[name]
    if database < 0:
        # Not there yet: what a first plan can say is that everything on it will be made.
        work.fields |= {wanted: -place for place, wanted in enumerate(sorted(needed, key=str), start=1)}
        return
    deadline = time.monotonic() + SYNC_SECONDS
    asked = False
    while True:
        found = dict(_known(work.client.get(f"/api/database/{database}/metadata"), name))
        if needed <= set(found):
            work.fields |= {wanted: found[wanted] for wanted in needed}
            return
        if work.dry:
            missing = sorted(f"{item.table}.{item.column}" for item in needed - set(found))
            work.warnings.append(f"{name} does not know {', '.join(missing)} yet; apply asks for a sync")
            work.fields |= {wanted: found.get(wanted, 0) for wanted in needed}
            return
        if not asked:
            work.client.post(f"/api/database/{database}/sync_schema")
            asked = True
        if time.monotonic() > deadline:
            missing = sorted(f"{item.table}.{item.column}" for item in needed - set(found))
            raise DashboardError(
                f"Metabase's sync of {name} did not bring {', '.join(missing)}.",
                fix="run the models (`psp sync all`), see Metabase's log, then apply again",
            )
        time.sleep(POLL_SECONDS)


def _known(metadata: dict[str, Any], name: str) -> Iterator[tuple[Field, int]]:
    """Active fields; one that is no longer in the database would break its filter."""
    for table in metadata.get("tables") or ():
        for column in table.get("fields") or ():
            if column.get("active", True):
                key = Field(database=name, schema=table["schema"], table=table["name"], column=column["name"])
                yield key, int(column["id"])
