# ruff: noqa: S608 - statements are put together from names of our own
"""Whether the incremental state is what a full rebuild would say, without touching it. Usable without Dagster.

    changes at `now` -> shadow of everything at `now` -> changes at `now` -> rows compared

Loads go on meanwhile. What they brought is judged by the second run of the changes, whose keys are therefore left out:
all other rows stood still between the two, and must be equal, column for column.
"""

from dataclasses import dataclass, field

import psycopg

from pipelines.core.errors import ModelError
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings
from pipelines.defs.model.manifest import ParsedProject
from pipelines.defs.model.runner import only_run, run_models_holding
from pipelines.defs.model.shadow import PREFIX, build_shadow, shadow_schemas

# A statement or a late payment of a covered day can touch lines of many days: then the bank is left for the next night.
BANK_HAS_MOVED = """
exists (
    select 1 from intermediate.left_behind
    where
        model in ('fct_bank_dues', 'fct_bank_reference_fits', 'int_bank__batch_sets')
        and changed_xid >= current_setting('psp.shadow_began')::bigint
)
"""
# A reading or a movement that came meanwhile: the report writes the period of either anew.
SNAPSHOT_HAS_MOVED = """
snapshot_id in (
    select snapshot_id from intermediate.int_balances__snapshots
    where changed_xid >= current_setting('psp.shadow_began')::bigint
)
"""
BALANCE_HAS_MOVED = """
(merchant, business_date) in (
    select merchant, business_date from marts.rpt_balance_identity_daily
    where changed_xid >= current_setting('psp.shadow_began')::bigint
)
"""
# The bridge says what people decide, and they do not wait for the night.
BRIDGE_HAS_MOVED = f"""
{BANK_HAS_MOVED} or exists (
    select 1 from breaks.state
    where
        reason_family = 'bank' and decision is not null
        and changed_xid >= current_setting('psp.shadow_began')::bigint
)
"""
COMPARED = {
    # model: its key, and the rows that moved while the shadow was built
    "fct_reconciliation": (
        "reconciliation_id",
        "reconciliation_key in (select reconciliation_key from intermediate.int_reconciliation__keys_changed)",
    ),
    "fct_transactions": (
        "transaction_id",
        "transaction_id in (select transaction_id from intermediate.int_transactions__refreshed)",
    ),
    "fct_bank_lines": ("bank_line_id", BANK_HAS_MOVED),
    "fct_bank_settlements": ("movement_id", BANK_HAS_MOVED),
    "rpt_bank_bridge_daily": ("concat_ws(' ', settlement_day, project, currency, cause)", BRIDGE_HAS_MOVED),
    "int_balances__snapshots": ("snapshot_id", SNAPSHOT_HAS_MOVED),
    "rpt_balance_identity_daily": ("concat_ws(' ', business_date, merchant)", BALANCE_HAS_MOVED),
}
BOOKKEEPING = frozenset({"changed_xid"})
NAMED_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one model said: rows compared, rows left out because they moved, and the keys of rows that differ."""

    model: str
    compared: int
    moved: int
    different: int
    examples: list[str] = field(default_factory=list)


def compare_with_rebuild(settings: Settings, project: ParsedProject) -> list[Comparison]:
    """One comparison per model. Raises ModelError, DatabaseError, ConflictError."""
    url, now = database_url(settings), settings.clock()
    frozen = settings.model_copy(update={"psp_now": now})
    with only_run(url) as connection, shadow_schemas(connection):
        if run_models_holding(connection, frozen, project=project, depth="changes").full_refresh:
            raise ModelError(
                "Code or seeds had changed: the models have just been rebuilt, and nothing incremental is there yet.",
                fix="run the check again after the next feed",
            )
        connection.execute("select set_config('psp.shadow_began', pg_current_xact_id()::text, false)")
        build_shadow(frozen, url, project, now=now, select=[f"+{model}" for model in COMPARED])
        run_models_holding(connection, frozen, project=project, depth="changes")
        return [_compare(connection, model, key, moved) for model, (key, moved) in COMPARED.items()]


def schema_of(model: str) -> str:
    """Where the models of its layer are; its shadow is in the schema of that name, see shadow."""
    return "intermediate" if model.startswith("int_") else "marts"


def _compare(connection: psycopg.Connection, model: str, key: str, moved: str) -> Comparison:
    schema = schema_of(model)
    columns = [
        name
        for (name,) in connection.execute(
            "select column_name from information_schema.columns"
            " where table_schema = %s and table_name = %s order by ordinal_position",
            (schema, model),
        )
        if name not in BOOKKEEPING
    ]
    listed = ", ".join(columns)
    counts = connection.execute(
        f"select count(*) filter (where not ({moved})), count(*) filter (where {moved}) from {schema}.{model}".encode()
    ).fetchone()
    different = connection.execute(
        f"""
        with kept as (select {listed} from {schema}.{model} where not ({moved})),
        rebuilt as (select {listed} from {PREFIX}{schema}.{model} where not ({moved}))
        select distinct {key}
        from ((table kept except table rebuilt) union all (table rebuilt except table kept)) as differing
        order by {key}
        """.encode()
    ).fetchall()
    compared, left_out = counts or (0, 0)
    return Comparison(
        model=model,
        compared=compared,
        moved=left_out,
        different=len(different),
        examples=[str(row[0]) for row in different[:NAMED_ROWS]],
    )
