"""What the sandbox providers themselves hold, against what the raw log holds: record by record, payload by payload.

A version is (raw table, canonical payload): keys sorted, numbers by value, without the fields that move on their own.
The log's side is raw.* and raw.quarantine together, since a record that cannot be trusted is kept there.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipelines.core.postgres import connect
from pipelines.sandbox.books import PayShackBooks, VimaBooks
from pipelines.sandbox.payshack_envelope import to_json
from pipelines.sandbox.world import World

Version = tuple[str, str]
EVERYTHING = 10**7
PAYSHACK = {"payshack_payins": "payin", "payshack_payouts": "payout"}
DIRECTORIES = {
    "payshack_clients": "clients",
    "payshack_resellers": "resellers",
    "payshack_service_providers": "service_providers",
}
TABLES = ("vima_operations", *PAYSHACK, *DIRECTORIES)
VOLATILE = {"vima": {"rates"}, "payshack": {"callbackStatus", "callbackResponse"}}


def canonical(table: str, text: str | bytes) -> str:
    """One spelling for one version."""
    payload = json.loads(text, parse_float=Decimal)
    if isinstance(payload, dict):
        moving = VOLATILE[table.partition("_")[0]]
        payload = {key: value for key, value in payload.items() if key not in moving}
        if isinstance(payload.get("card_finish"), list):
            payload["card_finish"] = [
                {key: value for key, value in block.items() if key not in moving} for block in payload["card_finish"]
            ]
    return json.dumps(_plain(payload), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return f"{Decimal(value).normalize():f}"
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def vima_versions(world: World, now: datetime) -> set[Version]:
    """Every operation as Vima shows it at `now`."""
    shown = VimaBooks(world).changed(now=now, after=0, inclusive=False, count=EVERYTHING)
    return {("vima_operations", canonical("vima_operations", record)) for record in shown}


def payshack_versions(world: World, now: datetime, *, since: date | None = None) -> set[Version]:
    """Every pay-in and pay-out as PayShack shows it at `now`, of created days from `since` on."""
    found = set()
    for table, flow in PAYSHACK.items():
        records, total = PayShackBooks(world).payshack_page(
            flow,
            now=now,
            page=1,
            limit=EVERYTHING,
            date_from=since,
            date_to=date(9000, 1, 1) if since else None,
            status=None,
            order_id=None,
            transaction_id=None,
        )
        assert len(records) == total
        found |= {(table, canonical(table, to_json(record))) for record in records}
    return found


def directory_versions(world: World, now: datetime) -> set[Version]:
    """PayShack's clients, resellers and service providers at `now`."""
    books = PayShackBooks(world)
    return {
        (table, canonical(table, to_json(record)))
        for table, entity in DIRECTORIES.items()
        for record in books.payshack_directory(entity, now=now)
    }


def logged_versions(url: str, tables: Iterable[str] = TABLES) -> Counter[Version]:
    """Every version in raw.* and raw.quarantine, with how often it is there."""
    found: Counter[Version] = Counter()
    with connect(url) as connection:
        for table in tables:
            rows = connection.execute(
                f"select payload::text from raw.{table} union all"  # noqa: S608 - our tables
                " select payload::text from raw.quarantine where source_table = %s".encode(),
                (table,),
            )
            found.update((table, canonical(table, payload)) for (payload,) in rows)
    return found


def differences(
    found: Counter[Version], expected: set[Version], *, also_possible: set[Version] = frozenset()
) -> list[str]:  # type: ignore[assignment]
    """What is lost, doubled or invented, one line each."""
    lost = [f"lost: {version}" for version in expected - found.keys()]
    doubled = [f"{times} times: {version}" for version, times in found.items() if times > 1]
    invented = [f"invented: {version}" for version in found.keys() - expected - also_possible]
    return lost + doubled + invented
