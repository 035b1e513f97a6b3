"""Asset checks for what no dbt test sees: the clock, the calendar, and the health of the match keys.

    rpt_source_health   watermark_is_recent_<source>_<flow>  how long ago the source was last known complete
    rpt_metrics_daily   no_missing_business_day_<source>     a day between the first and yesterday without one payment
    fct_reconciliation  keys_are_present                     recent records without a match key
                        keys_are_unique                      recent records whose key others of that side have, too
                        keys_do_not_collide                  recent rows whose key belongs to another payment
                        ... each by source, project and flow: one client's broken key must not drown in the others' rows

Freshness policies watch that assets are renewed; these watch that what they hold is complete. They block nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg

from pipelines.core.postgres import TRANSFORMER, connect
from pipelines.core.runtime import database_url
from pipelines.core.settings import Settings, load_settings
from pipelines.defs.failures import told_plainly

WATERMARK_WARN = timedelta(minutes=30)
WATERMARK_ERROR = timedelta(hours=3)
KEY_DAYS = 7
KEY_SHARE = 0.01
REPEATED_SHARE = 0.25
"""Several attempts at one order are usual; beyond this, something else than the order's id must be in the field."""
MIN_GROUP = 50
"""Fewer records of a project and flow say nothing about a share."""
NAMED_DAYS = 20
NAMED_GROUPS = 50

SOURCES = ("vima", "payshack")
FLOWS = ("payin", "payout")

Look = Callable[[psycopg.Connection, Settings], dict[str, Any]]
"""Looks at the warehouse; returns what an AssetCheckResult needs beside its name."""


def _watermark(source: str, flow: str) -> Look:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        row = connection.execute(
            "select watermark from raw.source_watermarks where source = %s and flow = %s", (source, flow)
        ).fetchone()
        if row is None:
            return _warning(f"{source} {flow} has not been read to its end yet.")
        age = settings.clock() - row[0]
        metadata = {"watermark": dg.TimestampMetadataValue(row[0].timestamp()), "age_seconds": age.total_seconds()}
        if age <= WATERMARK_WARN:
            return {"passed": True, "metadata": metadata}
        minutes = int(age.total_seconds() // 60)
        severity = dg.AssetCheckSeverity.ERROR if age > WATERMARK_ERROR else dg.AssetCheckSeverity.WARN
        told = f"{source} {flow} was last known complete {minutes} minutes ago; see its feed runs and its sensor."
        return {"passed": False, "severity": severity, "description": told, "metadata": metadata}

    return look


def _days(source: str) -> Look:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        today = settings.clock().astimezone(settings.business_zone).date()
        rows = connection.execute(
            """
            select day::date
            from generate_series(
                (select min(business_date) from marts.rpt_metrics_daily where source = %(source)s),
                %(today)s::date - 1,
                interval '1 day'
            ) as day
            where not exists (
                select from marts.rpt_metrics_daily as metrics
                where metrics.source = %(source)s and metrics.business_date = day::date
            )
            order by day
            """,
            {"source": source, "today": today},
        ).fetchall()
        missing = [row[0].isoformat() for row in rows]
        metadata = {"missing_days": len(missing), "first_of_them": missing[:NAMED_DAYS]}
        if not missing:
            return {"passed": True, "metadata": metadata}
        told = f"{source} has no payment at all on {len(missing)} business dates; read these days again (window)."
        return {**_warning(told), "metadata": metadata}

    return look


RECORDS_WITH_KEYS = """
select source, project, flow, count(*), {affected}
from marts.fct_transactions
where business_date >= %(since)s
group by source, project, flow
"""
WITHOUT_KEY = "count(*) - count(order_key)"
REPEATED = "count(order_key) - count(distinct order_key)"
COLLIDING = """
select 'both', project, flow, count(*), count(*) filter (where 'key_collision' = any(reasons))
from marts.fct_reconciliation
where business_date >= %(since)s
group by project, flow
"""


KEYS = {
    "keys_are_present": (
        RECORDS_WITH_KEYS.format(affected=WITHOUT_KEY),
        KEY_SHARE,
        "are without a match key",
        "have no match key",
    ),
    "keys_are_unique": (
        RECORDS_WITH_KEYS.format(affected=REPEATED),
        REPEATED_SHARE,
        "repeat a key of their own side",
        "repeat a match key",
    ),
    "keys_do_not_collide": (
        COLLIDING,
        KEY_SHARE,
        "share a key with another payment",
        "share their key with another payment",
    ),
}


def _keys(query: str, share: float, told: str) -> Look:
    def look(connection: psycopg.Connection, settings: Settings) -> dict[str, Any]:
        since = settings.clock().astimezone(settings.business_zone).date() - timedelta(days=KEY_DAYS)
        rows = connection.execute(query.encode(), {"since": since}).fetchall()
        groups = {
            f"{source} {project} {flow}": {"records": total, "affected": affected}
            for source, project, flow, total, affected in sorted(rows, key=lambda row: -row[4])
        }
        bad = [
            name
            for name, group in groups.items()
            if group["records"] >= MIN_GROUP and group["affected"] > group["records"] * share
        ]
        metadata = {
            "since": since.isoformat(),
            "records": sum(group["records"] for group in groups.values()),
            "affected": sum(group["affected"] for group in groups.values()),
            "groups_over_the_limit": bad,
            "by_group": dict(list(groups.items())[:NAMED_GROUPS]),
        }
        if not bad:
            return {"passed": True, "metadata": metadata}
        worst = bad[0]
        counted = f"{groups[worst]['affected']} of {groups[worst]['records']} records of {worst}"
        more = f", and {len(bad) - 1} more groups are over {share:.0%}" if len(bad) > 1 else ""
        return {**_warning(f"{counted} since {since} {told}{more}; ask the source why."), "metadata": metadata}

    return look


def _warning(told: str) -> dict[str, Any]:
    return {"passed": False, "severity": dg.AssetCheckSeverity.WARN, "description": told}


def _looks() -> Mapping[dg.AssetCheckKey, tuple[str, Look]]:
    health, metrics, reconciliation = (
        dg.AssetKey(["marts", name]) for name in ("rpt_source_health", "rpt_metrics_daily", "fct_reconciliation")
    )
    looks: dict[dg.AssetCheckKey, tuple[str, Look]] = {
        dg.AssetCheckKey(health, f"watermark_is_recent_{source}_{flow}"): (
            f"{source} {flow} was known complete less than {WATERMARK_WARN.seconds // 60} minutes ago.",
            _watermark(source, flow),
        )
        for source in SOURCES
        for flow in FLOWS
    }
    for source in SOURCES:
        looks[dg.AssetCheckKey(metrics, f"no_missing_business_day_{source}")] = (
            f"{source} has a payment on every business date between its first and yesterday.",
            _days(source),
        )
    for name, (query, share, what, told) in KEYS.items():
        looks[dg.AssetCheckKey(reconciliation, name)] = (
            f"In no project and flow more than {share:.0%} of the last {KEY_DAYS} days' records {what}.",
            _keys(query, share, told),
        )
    return looks


LOOKS = _looks()


@dg.multi_asset_check(
    name="watch_completeness",
    specs=[
        dg.AssetCheckSpec(name=key.name, asset=key.asset_key, description=description)
        for key, (description, _) in LOOKS.items()
    ],
    can_subset=True,
)
def watch_completeness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """All looks over one connection."""
    with told_plainly(context):
        settings = load_settings()
        with connect(database_url(settings), role=TRANSFORMER, application="psp-watch") as connection:
            for key in sorted(context.selected_asset_check_keys, key=lambda key: key.to_user_string()):
                _, look = LOOKS[key]
                yield dg.AssetCheckResult(asset_key=key.asset_key, check_name=key.name, **look(connection, settings))
