"""How a dbt node looks in Dagster. The only place with naming logic for models, seeds and sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

from pipelines.defs.tags import MATERIALIZED

DATA_OWNER = "data-platform@example.com"
FINANCE_OWNER = "finance-data@example.com"

Node = Mapping[str, Any]


class WarehouseTranslator(DagsterDbtTranslator):
    """Keys mirror the warehouse (schema, relation); a dbt group is the Dagster group and brings its owner."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))

    def get_description(self, dbt_resource_props: Node) -> str:
        """The model's own words. Its SQL is in the repository; in the UI it would bury them."""
        described = str(dbt_resource_props.get("description") or "").strip()
        return described or f"{self._layer(dbt_resource_props)} {dbt_resource_props['resource_type']}."

    def get_group_name(self, dbt_resource_props: Node) -> str | None:
        """The dbt group, else the layer: nothing lands in `default`."""
        return super().get_group_name(dbt_resource_props) or self._layer(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Node) -> Sequence[str]:
        """The owner in the node's meta, else the one of its group, else the platform's."""
        named = (dbt_resource_props.get("config", {}).get("meta") or {}).get("owner")
        return [named] if named else super().get_owners(dbt_resource_props) or [DATA_OWNER]

    def get_tags(self, dbt_resource_props: Node) -> Mapping[str, str]:
        """dbt's tags, and what is orthogonal to groups."""
        how = str(dbt_resource_props.get("config", {}).get("materialized") or "")
        return {
            **super().get_tags(dbt_resource_props),
            "layer": self._layer(dbt_resource_props),
            **({MATERIALIZED: how} if how else {}),
        }

    @staticmethod
    def _layer(node: Node) -> str:
        """reference, staging, intermediate or marts: the schema that the node lives in."""
        return str(node.get("config", {}).get("schema") or node.get("schema") or "models")
