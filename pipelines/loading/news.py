"""Whether a provider has anything that the raw log has not: what a sensor asks before it starts a load.

    nothing new -> everything up to the moment of asking is in the raw log -> the watermark moves, and that is all
    news, or it cannot be told -> the caller starts a load

Without the first line a quiet source would never be known complete, and what only the other one has never be "missing".
"""

from datetime import datetime

import msgspec

from pipelines.core.errors import SourceAuthError
from pipelines.core.postgres import LOADER, connect
from pipelines.core.runtime import database_url, payshack_access, vima_access
from pipelines.core.settings import Settings
from pipelines.loading.vima import stored_cursor
from pipelines.loading.watermarks import confirm_watermark
from pipelines.sources.common.records import RecordProblem, RecordSpec, parse_payload
from pipelines.sources.common.transport import GLANCE, HttpTransport
from pipelines.sources.payshack.client import Listing, open_kept_client
from pipelines.sources.payshack.schema import TRANSACTIONS
from pipelines.sources.vima.client import PAGE_SIZE, VimaClient
from pipelines.sources.vima.source import ReadProgress, feed_pages


def vima_has_news(settings: Settings) -> bool:
    """One request: whether anything lies beyond the stored cursor. Raises the SourceError family or DatabaseError."""
    access = vima_access(settings)
    url = database_url(settings)
    asked_at = settings.clock()
    before = stored_cursor(url)
    read = ReadProgress(cursor=before)
    with HttpTransport(source="Vima", patience=GLANCE) as transport:
        found = next(feed_pages(VimaClient(access, transport), progress=read, clock=settings.clock), None)
        # An inclusive cursor shows its own rows again, which is no news; a page full of them may hide some.
        if found is not None and (read.cursor != before or read.rows >= PAGE_SIZE):
            return True
    for flow in ("payin", "payout"):
        confirm_watermark(url, "vima", flow, asked_at, settings.clock())
    return False


def payshack_has_news(settings: Settings) -> bool | None:
    """Two small requests: whether a flow's newest record or its number of records differs from what has been read.

    None where that cannot be told without signing in. A change of an older record does not show here; the caller loads
    from time to time even without news. Raises the SourceError family or DatabaseError; SourceAuthError while no login
    is tried because too many were refused.
    """
    access = payshack_access(settings)
    url = database_url(settings)
    asked_at = settings.clock()
    with open_kept_client(settings, access) as client:
        if client is None:
            return None
        for flow, spec in TRANSACTIONS.items():
            try:
                listing = client.listing(flow, page=1, limit=1)
            except SourceAuthError:
                return None
            if not _is_known(url, spec, listing):
                return True
    for flow in TRANSACTIONS:
        confirm_watermark(url, "payshack", flow, asked_at, settings.clock())
    return False


def last_feed_at(settings: Settings, source: str) -> datetime | None:
    """When the newest feed that succeeded began, whoever started it; None before the first. Raises DatabaseError."""
    with connect(database_url(settings), role=LOADER, application="psp-watch") as connection:
        row = connection.execute(
            "select max(started_at) from raw.load_runs where source = %s and mode = 'feed' and status = 'succeeded'",
            (source,),
        ).fetchone()
    return row[0] if row else None


def _is_known(url: str, spec: RecordSpec, listing: Listing) -> bool:
    """Whether the newest record is in the raw log as it is now, and the days read hold as many records as there are."""
    with connect(url, role=LOADER, application="psp-watch") as connection:
        counted = connection.execute(
            "select coalesce(sum(total_records), 0) from raw.window_passes where stream = %s", (spec.table,)
        ).fetchone()
        if counted is None or counted[0] != listing.total_records:
            return False
        if not listing.transactions:
            return True
        try:
            newest = parse_payload(listing.transactions[0])
            facts = (spec.record_id(newest), spec.updated_at(newest)) if isinstance(newest, dict) else None
        except (RecordProblem, msgspec.MsgspecError, ValueError):
            facts = None
        if facts is None:
            return False
        found = connection.execute(
            f"select true from raw.{spec.table} where record_id = %s and source_updated_at = %s",  # noqa: S608 - our table
            facts,
        ).fetchone()
        return found is not None
