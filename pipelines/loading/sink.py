"""The dlt destination that writes the raw log: one file of records, one transaction.

Why not dlt's own PostgreSQL destination: there the cursor is committed after the rows, in dlt's state (decision 0002).
Here both are one transaction, so killing the process at any instant loses nothing, and re-reading is free.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as parquet
from dlt.common.destination.exceptions import DestinationTerminalException

from pipelines.core.postgres import LOADER, connect
from pipelines.loading.raw_log import append

BATCH_ROWS = 5_000

OnCommit = Callable[[str, int, int], None]


class Sink:
    """Writes dlt's load files to the raw log and remembers the first failure, which dlt would wrap."""

    def __init__(self, *, url: str, source: str, clock: Callable[[], datetime], on_commit: OnCommit) -> None:
        self._url = url
        self._source = source
        self._clock = clock
        self._on_commit = on_commit
        self.failure: Exception | None = None

    def destination(self) -> Any:
        """The dlt destination. Files are taken one at a time, so the cursor only ever follows committed rows."""

        @dlt.destination(
            name="raw_log",
            loader_file_format="parquet",
            batch_size=0,
            max_parallel_load_jobs=1,
            loader_parallelism_strategy="sequential",
            naming_convention="direct",
        )
        def raw_log(items: str, table: dict[str, Any]) -> None:
            try:
                self._load_file(Path(items), str(table["name"]))
            except Exception as error:
                self.failure = self.failure or error
                # dlt would retry what it does not know to be final; the caller decides about that.
                raise DestinationTerminalException(type(error).__name__) from error

        return raw_log()

    def _load_file(self, path: Path, table: str) -> None:
        load_id = path.parent.parent.name
        # The connection's block is the transaction: committed at its end, undone by whatever interrupts it.
        with connect(self._url, role=LOADER, application="psp-load") as connection:
            appended = append(
                connection,
                parquet.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS),
                source=self._source,
                table=table,
                load_id=load_id,
                now=self._clock(),
            )
        self._on_commit(table, appended.new, appended.quarantined)
