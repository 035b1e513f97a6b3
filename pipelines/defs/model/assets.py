"""Seeds, models and their tests as assets and asset checks, one step for all of them.

    raw/* -> reference/*, staging/*, intermediate/*, marts/* -> publish

A run tagged `psp/mode=feed` moves only rows: no views, no seeds, and tests when the job selects them. Everything else
(the UI, `models_job`, `psp sync`) builds what it selects, tests included.

No pool: the runner's lock in the database keeps two runs of the models apart, `psp sync` and other machines included,
and waits without work, where a step that waits for a pool inside a run keeps a core busy (Dagster 1.13, measured).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from pipelines.core.redaction import redact
from pipelines.core.settings import load_settings
from pipelines.defs.failures import told_plainly
from pipelines.defs.model.manifest import ParsedProject, parsed_project
from pipelines.defs.model.runner import Depth, ModelReport, run_models
from pipelines.defs.model.translator import WarehouseTranslator
from pipelines.defs.tags import FEED, MODE

RESULT_EVENTS = frozenset({"LogSeedResult", "LogModelResult", "LogTestResult"})


@dg.definitions
def model_definitions() -> dg.Definitions:
    """The dbt assets of the project as it is now."""
    return dg.Definitions(assets=[build_model_assets(parsed_project(load_settings()))])


def build_model_assets(project: ParsedProject) -> dg.AssetsDefinition:
    """One asset per seed and model, one check per test, executed together."""
    manifest = project.as_json()
    translator = WarehouseTranslator()

    @dbt_assets(manifest=manifest, dagster_dbt_translator=translator, name="models")
    def models(context: dg.AssetExecutionContext) -> Iterator[Any]:
        events = _ResultEvents(context)
        with told_plainly(context):
            try:
                report = run_models(
                    load_settings(),
                    project=project,
                    depth=_depth(context),
                    select=_selection(context, manifest, translator),
                    on_event=events.take,
                )
                _log_report(context, report)
            finally:
                # What succeeded before a failure is in the warehouse, so it is told as well.
                yield from events.as_dagster(manifest, translator)

    return models


class _ResultEvents:
    """dbt's result events of one run. Taken from dbt's threads, told to Dagster from the step's own."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._taken: list[Any] = []

    def take(self, event: Any) -> None:
        if event.info.name in RESULT_EVENTS:
            self._taken.append(event)
            self._context.log.debug(redact(event.info.msg))

    def as_dagster(self, manifest: Any, translator: WarehouseTranslator) -> Iterator[Any]:
        """Materializations, check results and observations, made by dagster-dbt's own class."""
        # Heavy: only a process that runs models needs it.
        from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
        from dbt_common.events.functions import msg_to_dict

        for event in self._taken:
            message = DbtCoreCliEventMessage(raw_event=msg_to_dict(event), event_history_metadata={})
            selected = self._context.op_execution_context.selected_output_names
            for found in message.to_default_asset_events(manifest, translator, context=self._context):
                # A full refresh also builds what was not asked for; Dagster takes only what was.
                if isinstance(found, dg.Output) and found.output_name not in selected:
                    continue
                yield found


def _depth(context: dg.AssetExecutionContext) -> Depth:
    tests = bool(context.selected_asset_check_keys)
    if tests:
        return "build"
    return "changes" if context.run.tags.get(MODE) == FEED else "models"


def _selection(context: dg.AssetExecutionContext, manifest: Any, translator: WarehouseTranslator) -> Sequence[str]:
    """dbt selectors of what the run selects; none when that is everything."""
    definition = context.assets_def
    everything = set(definition.node_keys_by_output_name.values())
    wanted = set(context.selected_asset_keys)
    checks = set(context.selected_asset_check_keys)
    all_checks = {spec.key for spec in definition.node_check_specs_by_output_name.values()}
    if wanted == everything and checks in (set(), all_checks):
        return ()
    nodes = manifest["nodes"]
    chosen = [
        node
        for node in nodes.values()
        if node["resource_type"] in {"model", "seed"} and translator.get_asset_key(node) in wanted
    ]
    for check in checks:
        metadata = definition.get_spec_for_check_key(check).metadata or {}
        chosen.append(nodes[metadata["dagster_dbt/unique_id"]])
    return sorted(".".join(node["fqn"]) for node in chosen)


def _log_report(context: dg.AssetExecutionContext, report: ModelReport) -> None:
    how = "full refresh (code or seeds have changed)" if report.full_refresh else "what has changed"
    context.log.info(f"{len(report.nodes)} dbt nodes in {report.duration_seconds:.1f} s: {how}.")
