"""Connections and the warehouse's foundation (schemas, roles, raw log), created idempotently.

Every process connects with one URL and takes the single role that it needs; a role is therefore a guard against
mistakes inside the platform, and the wall for outside users, who get login roles that are members of it.
"""

import hashlib
from importlib import resources
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from pipelines.core.errors import DatabaseError
from pipelines.core.redaction import redact

LOADER = "psp_loader"
TRANSFORMER = "psp_transformer"
READER = "psp_reader"
PII_READER = "psp_pii_reader"

MINIMUM_SERVER_VERSION = 15

FRESHNESS_CHANNEL = "psp_freshness"
"""NOTIFY channel on which a model run announces what it refreshed; the payload is JSON."""


def connect(
    url: str, *, role: str | None = None, autocommit: bool = False, application: str = "psp"
) -> psycopg.Connection:
    """A connection in UTC, with `role` taken when given. Raises DatabaseError with the fix, never the password."""
    options = "-c timezone=UTC" + (f" -c role={role}" if role else "")
    try:
        return psycopg.connect(
            url, autocommit=autocommit, application_name=application, connect_timeout=10, options=options
        )
    except psycopg.OperationalError as error:
        if role and f'role "{role}" does not exist' in str(error):
            raise DatabaseError(
                f"The warehouse has not been laid out: there is no role {role}.",
                fix="run `psp up` or `psp sync all`; for a server of your own, `psp prepare` once",
            ) from None
        raise DatabaseError(
            f"PostgreSQL is not reachable: {redact(str(error)).strip().splitlines()[0]}.",
            fix="run `psp doctor`; check PSP_DATABASE_URL, or unset it to use the embedded server",
        ) from None


def sqlalchemy_url(url: str, *, search_path: str | None = None) -> str:
    """The same database for SQLAlchemy. The driver is named because SQLAlchemy 2.1 changed its default to psycopg 3,
    under which dagster-postgres fails on NOTIFY."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if search_path:
        query["options"] = f"-csearch_path={search_path}"
    return urlunsplit(("postgresql+psycopg2", parts.netloc, parts.path, urlencode(query, quote_via=quote), ""))


def advisory_key(name: str) -> int:
    """A stable 63-bit key for `pg_advisory_lock` from a readable name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1


def prepare_warehouse(url: str) -> None:
    """Create schemas, roles, grants and the raw log if they are missing. Safe to repeat and to run concurrently.

    Raises DatabaseError when the server is too old or the user may not create schemas and roles.
    """
    with connect(url, application="psp-prepare") as connection:
        version = connection.info.server_version // 10000
        if version < MINIMUM_SERVER_VERSION:
            raise DatabaseError(
                f"PostgreSQL {version} is too old.", fix=f"use PostgreSQL {MINIMUM_SERVER_VERSION} or newer"
            )
        connection.execute("select pg_advisory_xact_lock(%s)", (advisory_key("prepare_warehouse"),))
        database = sql.Identifier(connection.info.dbname).as_string(connection)
        scripts = sorted(
            (
                entry
                for entry in resources.files("pipelines.core").joinpath("sql").iterdir()
                if entry.name.endswith(".sql")
            ),
            key=lambda entry: entry.name,
        )
        try:
            for script in scripts:
                text = script.read_text(encoding="utf-8").replace(':"database"', database)
                connection.execute(text)
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"The database user may not prepare the warehouse: {error.diag.message_primary}.",
                fix="use the owner of the database with CREATEROLE, or let an administrator run `psp up` once",
            ) from None
        except psycopg.Error as error:
            raise DatabaseError(
                f"The warehouse cannot be prepared: {error.diag.message_primary or type(error).__name__}.",
                fix="look into the database's log; nothing was changed",
            ) from None
