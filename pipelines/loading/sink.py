"""Where pages go: the raw log, one table's pages in one transaction, behind the reader's back.

    page -> chunk -> writer (one thread, one chunk at a time, in order) -> raw_log.append -> commit
       meanwhile the reader is at the next page

A chunk is what was read while the one before it was written: as soon as the writer is idle it gets what there is, once
that is worth a transaction. A slow provider's pages are committed soon, a slow database gets them in larger chunks, and
the reader waits when MOST_PAGES lie there.

Why not a destination of dlt: there the cursor is committed after the rows, in dlt's state (decision 0002), and every
row goes through two files (decision 0015). Here rows and cursor are one transaction, and no payload gets onto the disk.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import psycopg
import pyarrow as pa
from dlt.common.storages.load_package import create_load_id

from pipelines.core.postgres import LOADER, connect
from pipelines.loading.raw_log import append

LEAST_PAGES = 20
"""Of a hundred records each: fewer cost more for the transaction than for the rows."""
LEAST_SECONDS = 5.0
"""A slow provider's pages are not held back for longer, so that little is read twice after a kill."""
MOST_PAGES = 50
"""So many lie in memory, and as many are being written."""

SWITCH_SECONDS = 0.0005
"""The writer gives the interpreter up with every buffer that it sends. Python's usual 5 ms until the reader lets go of
it again are longer than PostgreSQL takes for the buffer."""

OnCommit = Callable[[str, int, int], None]


class Sink:
    """Writes pages to the raw log. One chunk at most is being written, and none after one that has failed."""

    def __init__(self, *, url: str, source: str, clock: Callable[[], datetime], on_commit: OnCommit) -> None:
        self._url = url
        self._source = source
        self._clock = clock
        self._on_commit = on_commit
        sys.setswitchinterval(SWITCH_SECONDS)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raw-log")
        self._connection: psycopg.Connection | None = None
        self._under_way: Future[None] | None = None
        self._has_failed = False
        self._table = ""
        self._pages: list[pa.Table] = []
        self._since = 0.0

    def take(self, table: str, page: pa.Table) -> None:
        """Take one page, to be committed by and by. Raises what writing an earlier one has failed at."""
        if self._pages and table != self._table:
            self._begin_to_write()
        if not self._pages:
            self._table, self._since = table, time.monotonic()
        self._pages.append(page)
        is_due = len(self._pages) >= LEAST_PAGES or time.monotonic() - self._since > LEAST_SECONDS
        is_idle = self._under_way is None or self._under_way.done()
        if len(self._pages) >= MOST_PAGES or (is_due and is_idle):
            self._begin_to_write()

    def flush(self) -> None:
        """Commit everything that was taken, and wait for it. Raises what failed; nothing is written after that."""
        if self._pages and not self._has_failed:
            self._begin_to_write()
        self._wait()

    def close(self) -> None:
        """Wait for what is under way, however it ends, and take nothing more."""
        self._writer.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()

    def _begin_to_write(self) -> None:
        self._wait()
        self._under_way = self._writer.submit(self._write, self._table, self._pages)
        self._pages = []

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            try:
                under_way.result()
            except BaseException:
                self._has_failed, self._pages = True, []
                raise

    def _write(self, table: str, pages: Sequence[pa.Table]) -> None:
        if self._connection is None:
            self._connection = connect(self._url, role=LOADER, application="psp-load")
        # Committed at the block's end, undone by whatever interrupts it.
        with self._connection.transaction():
            appended = append(
                self._connection,
                [batch for page in pages for batch in page.to_batches()],
                source=self._source,
                table=table,
                load_id=create_load_id(),
                now=self._clock(),
            )
        self._on_commit(table, appended.new, appended.quarantined)
