"""The storage of dagster.yaml: Dagster's own for PostgreSQL, in schema `dagster`, with connections kept open.

    PSP_DAGSTER_URL              the URL, as `psp up` and docker-compose.yml set it
    else, with DAGSTER_HOME      the warehouse of the settings
    else                         a temporary instance (`dagster definitions validate`): SQLite in a temporary folder

Dagster opens a new connection for every event by default, which costs a short run seconds.
"""

import atexit
import os
import tempfile
from collections.abc import Mapping
from typing import Any

# Not exported by `dagster`: what a storage is made of.
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from pipelines.core.postgres import sqlalchemy_url
from pipelines.core.runtime import database_url
from pipelines.core.settings import load_settings

SCHEMA = "dagster"
RENEW_SECONDS = 1800
BURST_CONNECTIONS = 20


class WarehouseStorage(DagsterStorage, ConfigurableClass):
    """Never made itself: `from_config_value` gives one of Dagster's own storages."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Nothing to configure: the environment says where."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        """The storage for this process. Raises DatabaseError when there should be a server and none is known."""
        url = os.environ.get("PSP_DAGSTER_URL")
        if not url and not os.environ.get("DAGSTER_HOME"):
            folder = tempfile.TemporaryDirectory(prefix="psp-dagster-", ignore_cleanup_errors=True)
            atexit.register(folder.cleanup)
            return DagsterSqliteStorage.from_local(folder.name, inst_data=inst_data)
        url = url or sqlalchemy_url(database_url(load_settings()), search_path=SCHEMA)
        storage = DagsterPostgresStorage(url, inst_data=inst_data)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(statement_timeout=0, pool_recycle=RENEW_SECONDS, max_overflow=BURST_CONNECTIONS)
        return storage
