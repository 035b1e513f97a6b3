"""Looks that become asset checks: what each looks at, and the one op that evaluates those that a run selects."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import psycopg

from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.failures import told_plainly

Look = Callable[[Settings], dict[str, Any]]
"""Looks at the warehouse; returns what an AssetCheckResult needs beside its name."""

Question = Callable[[psycopg.Connection, Settings], dict[str, Any]]
"""The same for a look that only asks the database."""

Looks = Mapping[dg.AssetCheckKey, tuple[str, Look]]
"""What is promised of an asset, in words, and the look that finds out."""


def asked(question: Question) -> Look:
    """The look that asks it, as who runs the models."""

    def look(settings: Settings) -> dict[str, Any]:
        with connect(database_url(settings), role=TRANSFORMER, application="psp-watch") as connection:
            return question(connection, settings)

    return look


def checks_of(name: str, looks: Looks) -> dg.AssetChecksDefinition:
    """One check per look, together one op: what a run selects of them is evaluated in the order of their names."""

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(name=key.name, asset=key.asset_key, description=description)
            for key, (description, _) in looks.items()
        ],
        can_subset=True,
    )
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with told_plainly(context):
            settings = load_settings()
            for key in sorted(context.selected_asset_check_keys, key=lambda key: key.to_user_string()):
                _, look = looks[key]
                yield dg.AssetCheckResult(asset_key=key.asset_key, check_name=key.name, **look(settings))

    return evaluate


def warning(told: str) -> dict[str, Any]:
    """A look that asks somebody to look as well."""
    return {"passed": False, "severity": dg.AssetCheckSeverity.WARN, "description": told}
