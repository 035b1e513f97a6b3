"""Where pages go: the raw log, one table's pages in one transaction, behind the reader's back.

    pages of a chunk -> writer (one thread, one chunk at a time, in order) -> raw_log.append -> commit
       meanwhile the reader is at the next chunk

Why not a destination of dlt: there the cursor is committed after the rows, in dlt's state (decision 0002), and every
row goes through two files (decision 0015). Here rows and cursor are one transaction, and no payload gets onto the disk.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import pyarrow as pa
from dlt.common.storages.load_package import create_load_id

from pipelines.core.postgres import LOADER, connect
from pipelines.loading.raw_log import append

OnCommit = Callable[[str, int, int], None]


class Sink:
    """Writes chunks of pages to the raw log. At most one is being written, and none after one that has failed."""

    def __init__(self, *, url: str, source: str, clock: Callable[[], datetime], on_commit: OnCommit) -> None:
        self._url = url
        self._source = source
        self._clock = clock
        self._on_commit = on_commit
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raw-log")
        self._under_way: Future[None] | None = None

    def write(self, chunk: Mapping[str, Sequence[pa.Table]]) -> None:
        """Begin to write the pages of each table, once what came before is committed. Raises what failed there."""
        self.flush()
        self._under_way = self._writer.submit(self._write, chunk)

    def flush(self) -> None:
        """Wait until everything is committed. Raises what failed."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Wait for what is under way, however it ends, and take nothing more."""
        self._writer.shutdown(wait=True)

    def _write(self, chunk: Mapping[str, Sequence[pa.Table]]) -> None:
        load_id = create_load_id()
        for table, pages in chunk.items():
            # The connection's block is the transaction: committed at its end, undone by whatever interrupts it.
            with connect(self._url, role=LOADER, application="psp-load") as connection:
                appended = append(
                    connection,
                    [batch for page in pages for batch in page.to_batches()],
                    source=self._source,
                    table=table,
                    load_id=load_id,
                    now=self._clock(),
                )
            self._on_commit(table, appended.new, appended.quarantined)
